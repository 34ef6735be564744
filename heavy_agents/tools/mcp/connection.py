"""One connection to an MCP server: opened and closed by the one task it lives in, used by many.

The library's scopes must be left by the task that entered them, so callers never open or close anything:
they wait for the owner task to have opened, and ask it to stop. Loaded with the library, at the first use
of a server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpx2
import structlog
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CONNECTION_CLOSED,
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    PARSE_ERROR,
    REQUEST_TIMEOUT,
    UNSUPPORTED_PROTOCOL_VERSION,
    URL_ELICITATION_REQUIRED,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
)
from pydantic import TypeAdapter, ValidationError

from foundation.errors import HeavyError, Json
from foundation.outbound import Outbound
from heavy_agents.tools.mcp.entry import McpEntry, McpLimits
from heavy_agents.tools.mcp.errors import SessionLost
from heavy_agents.tools.mcp.text import Blotter, plain
from heavy_agents.tools.mcp.wire import LOST, UNREACHED, Wire
from heavy_agents.tools.tool import ToolFailed

if TYPE_CHECKING:
    from mcp.client.session import ClientSession

__all__ = ["Connection"]

# Together less than the second in which all sessions of a run end; the first is what the wire takes for it.
FAREWELL_S: Final = 0.75
LAST_WAIT_S: Final = 0.2
MAX_SAID_CHARS: Final = 2000
# More than calls at once: an answer nobody waits for any more may still be under way.
MAX_CONNECTIONS: Final = 32
KEY_IN_META: Final = "switchyard/idempotencyKey"
OUR_NAME: Final = Implementation(name="switchyard", version="1")
ANSWER: Final[TypeAdapter[CallToolResult | InputRequiredResult]] = TypeAdapter(
    CallToolResult | InputRequiredResult
)

BROKE_OFF: Final = "broke off its answer, or sent one that is too large or cannot be read"
ASKS_BACK: Final = "asks something in return, which is not offered here"
NOT_THE_PROTOCOL: Final = "does not keep to the protocol, or asks for something that is not offered here"
# The library uses these codes for its own findings too, with texts that are not for people.
SAYINGS: Final = {
    CONNECTION_CLOSED: BROKE_OFF,
    PARSE_ERROR: BROKE_OFF,
    REQUEST_TIMEOUT: "did not answer in time",
    INVALID_REQUEST: NOT_THE_PROTOCOL,
    METHOD_NOT_FOUND: "does not know what it was asked for",
    INTERNAL_ERROR: "says that something went wrong inside it",
    HEADER_MISMATCH: "has changed the tool since it was listed",
    UNSUPPORTED_PROTOCOL_VERSION: "speaks no version of the protocol that is spoken here",
    URL_ELICITATION_REQUIRED: ASKS_BACK,
    MISSING_REQUIRED_CLIENT_CAPABILITY: ASKS_BACK,
}

log = structlog.get_logger(__name__)


class Connection:
    """Use: `start`, `opened`, any number of `tools` and `call` at once, `close`."""

    def __init__(
        self, entry: McpEntry, *, outbound: Outbound, allow_private: bool, limits: McpLimits
    ) -> None:
        self._entry = entry
        self._outbound = outbound
        self._allow_private = allow_private
        self._limits = limits
        self._blotter = Blotter(entry.headers)
        self._stop = asyncio.Event()
        # What became of the opening: a session, or why there is none.
        self._outcome: asyncio.Future[ClientSession | ToolFailed] = asyncio.get_running_loop().create_future()
        self._owner: asyncio.Task[None] | None = None
        self._wire: Wire | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing can be asked on it any more."""
        is_lost = self._wire is not None and self._wire.is_lost
        return is_lost or self._stop.is_set() or (self._owner is not None and self._owner.done())

    def start(self) -> None:
        self._owner = asyncio.create_task(self._live(), name=f"mcp.{self._entry.name}")

    async def opened(self) -> ClientSession:
        """Wait until it is open.

        Raises:
            ToolFailed: it cannot be opened.
        """
        await asyncio.wait([self._outcome])
        outcome = self._outcome.result()
        if isinstance(outcome, ToolFailed):
            raise ToolFailed(outcome.message)
        return outcome

    async def tools(self, is_enough: Callable[[list[dict[str, Json]]], bool]) -> list[dict[str, Json]]:
        """The server's tools by wire names, page by page until there is enough, no more, or too much."""
        found: list[dict[str, Json]] = []
        read_bytes, cursor = 0, None
        for _ in range(self._limits.pages):
            page = await self._page(cursor)
            found += page.tools
            read_bytes += page.size_bytes
            cursor = page.cursor
            if cursor is None or is_enough(found):
                return found
            if read_bytes > self._limits.listing_bytes:
                break
        log.warning("mcp_list_left", server=self._entry.name, tools=len(found), read_bytes=read_bytes)
        return found

    async def call(self, tool: str, arguments: dict[str, Json], *, key: str) -> dict[str, Json]:
        """A `CallToolResult` by its wire names.

        Raises:
            SessionLost: nothing was done.
            ToolFailed: as `McpSession.call` says.
        """
        try:
            return await self._call(tool, arguments, key=key)
        except _NotListed:
            # Nothing was done: the server wants headers that only its list of tools can tell.
            await self.tools(lambda found: any(each.get("name") == tool for each in found))
            return await self._call(tool, arguments, key=key)

    async def close(self) -> None:
        """Say farewell to the server, then end, with or without its answer."""
        if self._owner is None:
            return
        self._stop.set()
        try:
            await asyncio.wait([self._owner], timeout=FAREWELL_S)
        finally:
            # Also when the caller is cancelled: nothing is left behind.
            self._owner.cancel()
            _, late = await asyncio.wait([self._owner], timeout=LAST_WAIT_S)
            if late:
                log.warning("mcp_connection_did_not_end", server=self._entry.name)

    async def _live(self) -> None:
        """The whole life of the connection, in one task."""
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._limits.connect_s):
                    session = await self._open(stack)
                self._outcome.set_result(session)
                await self._stop.wait()
                if self._wire is not None:
                    await self._wire.settled()
        except Exception as error:
            self._ended_by(error)
        finally:
            if not self._outcome.done():
                self._outcome.set_result(self._failed("was not asked: the run is over"))

    async def _open(self, stack: AsyncExitStack) -> ClientSession:
        guarded = await self._outbound.session(
            allow_private=self._allow_private, max_connections=MAX_CONNECTIONS
        )
        await stack.enter_async_context(guarded)
        self._wire = Wire(guarded, origin=self._entry.origin, limits=self._limits)
        http = httpx2.AsyncClient(
            transport=self._wire,
            headers={"accept-encoding": "identity", "user-agent": "switchyard", **self._entry.headers},
            timeout=httpx2.Timeout(self._limits.call_s, connect=self._limits.connect_s),
            follow_redirects=False,
            trust_env=False,
        )
        await stack.enter_async_context(http)
        transport = streamable_http_client(
            self._entry.url, http_client=http, max_sse_event_size=self._limits.answer_bytes
        )
        client = Client(transport, mode="auto", cache=None, client_info=OUR_NAME)
        return (await stack.enter_async_context(client)).session

    def _ended_by(self, error: Exception) -> None:
        cause = _innermost(error)
        if self._outcome.done():
            log.warning("mcp_connection_broke", server=self._entry.name, error=type(cause).__name__)
        else:
            told = self._told(cause)
            self._outcome.set_result(told if isinstance(told, ToolFailed) else self._failed(NOT_THE_PROTOCOL))

    async def _page(self, cursor: str | None) -> _Page:
        session = await self.opened()
        try:
            page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
        except (MCPError, ValidationError, RuntimeError) as error:
            raise self._told(error) from None
        # Beside the event loop: it takes as long again as reading the answer did.
        return await asyncio.to_thread(_read, page)

    async def _call(self, tool: str, arguments: dict[str, Json], *, key: str) -> dict[str, Json]:
        session = await self.opened()
        params = CallToolRequestParams(name=tool, arguments=arguments, _meta={KEY_IN_META: key})
        try:
            # Not `call_tool`: it runs the server's own output schema, patterns and all, on the event loop.
            answer = await session.send_request(CallToolRequest(params=params), ANSWER)
        except (MCPError, ValidationError, RuntimeError) as error:
            raise self._told(error) from None
        if isinstance(answer, InputRequiredResult):
            raise self._failed(ASKS_BACK)
        return _wire_names(answer)

    def _told(self, error: BaseException) -> ToolFailed | SessionLost | _NotListed:
        """What our callers are told: never the library's texts, and the server's only where it means us."""
        match error:
            case MCPError(error=said) if said.code == LOST:
                return SessionLost()
            case MCPError(error=said) if said.code == HEADER_MISMATCH:
                return _NotListed(self._failed(SAYINGS[HEADER_MISMATCH]).message)
            case MCPError(error=said) if said.code == UNREACHED:
                return self._failed(self._plain(said.message))
            case MCPError(error=said) if said.code in SAYINGS:
                return self._failed(SAYINGS[said.code])
            case MCPError(error=said):
                return self._failed(f"refused: {self._plain(said.message)}")
            case HeavyError():
                return self._failed(f"could not be asked: {error.detail}")
            case TimeoutError():
                return self._failed(f"did not answer within {self._limits.connect_s:g} s")
            case _:
                log.info("mcp_protocol_broken", server=self._entry.name, error=type(error).__name__)
                return self._failed(NOT_THE_PROTOCOL)

    def _failed(self, saying: str) -> ToolFailed:
        return ToolFailed(f"the MCP server {self._entry.name} {saying}")

    def _plain(self, text: str) -> str:
        return plain(self._blotter.text(text), max_chars=MAX_SAID_CHARS)


class _Page(NamedTuple):
    tools: list[dict[str, Json]]
    size_bytes: int  # about; as JSON
    cursor: str | None  # of the next page


class _NotListed(ToolFailed):
    """The server wants the tool to be listed before it is called."""


def _innermost(error: BaseException) -> BaseException:
    """Task groups wrap what happened in them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _read(page: ListToolsResult) -> _Page:
    tools = [_wire_names(tool) for tool in page.tools]
    # Not orjson: a server may send lone surrogates, in text that is cut or left out later.
    return _Page(tools, len(json.dumps(tools)), page.next_cursor)


# Any: the library's models are made of JSON, which its types do not say.
def _wire_names(model: Any) -> dict[str, Json]:
    dumped: dict[str, Json] = model.model_dump(by_alias=True, mode="json")
    return dumped
