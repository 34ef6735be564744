"""One run's session with one MCP server: opened by the first call, kept for the run, opened again when lost.

States: not opened, open, lost, closed. A remembered list of tools needs no connection, so after a crash
nothing is connected until a tool is called. When the server no longer knows the session, it has not done the
call; the call is then sent once more, on a new session. Any other failure is the model's to judge: the server
may have done the work, and the key that travels with the call lets it recognise a repeat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from foundation.errors import Json
from foundation.outbound import Outbound
from heavy_agents.tools.mcp.entry import McpEntry, McpLimits
from heavy_agents.tools.mcp.errors import SessionLost
from heavy_agents.tools.mcp.result import read_result
from heavy_agents.tools.mcp.text import Blotter
from heavy_agents.tools.tool import ToolFailed

if TYPE_CHECKING:
    from heavy_agents.tools.mcp.connection import Connection

__all__ = ["McpSession"]

T = TypeVar("T")

TRIES: Final = 2
# They write what servers send, and session ids; our own lines say what is worth knowing.
LIBRARY_LOGGERS: Final = ("mcp", "client")


class McpSession:
    def __init__(
        self, entry: McpEntry, *, outbound: Outbound, allow_private: bool, limits: McpLimits
    ) -> None:
        """`allow_private`: the operator named the server, so it may be in a private network."""
        self._entry = entry
        self._outbound = outbound
        self._allow_private = allow_private
        self._limits = limits
        self._blotter = Blotter(entry.headers)
        self._slots = asyncio.Semaphore(limits.calls_at_once)
        self._opening = asyncio.Lock()
        # The last one is in use; those before it are being closed.
        self._connections: list[Connection] = []
        self._is_closed = False

    async def tools(self, is_enough: Callable[[list[dict[str, Json]]], bool]) -> list[dict[str, Json]]:
        """What the server lists, by wire names, page by page until there is enough.

        Raises:
            ToolFailed: as `call`.
        """
        listed = await self._ask(lambda connection: connection.tools(is_enough))
        # Beside the event loop: a list has many parts.
        return await asyncio.to_thread(self._blotted, listed)

    async def call(self, tool: str, arguments: dict[str, Json], *, key: str) -> Json:
        """The result of a call.

        Args:
            tool: the server's own name for it.
            key: the same for every try of this call.

        Raises:
            ToolFailed: the server cannot be reached, takes too long, breaks the protocol or says no.
        """
        answer = await self._ask(lambda connection: connection.call(tool, arguments, key=key))
        hidden = self._blotter.json(answer)
        assert isinstance(hidden, dict)  # noqa: S101 - it stays what it was
        return read_result(hidden, server=self._entry.name, max_bytes=self._limits.result_bytes)

    async def close(self) -> None:
        """End the session, within a second whatever the server does."""
        self._is_closed = True
        await asyncio.gather(*(connection.close() for connection in self._connections))

    def _blotted(self, listed: list[dict[str, Json]]) -> list[dict[str, Json]]:
        return [each for tool in listed if isinstance(each := self._blotter.json(tool), dict)]

    async def _ask(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._limits.call_s), self._slots:
                return await self._insist(work)
        except TimeoutError as error:
            raise ToolFailed(
                f"the MCP server {self._entry.name} did not answer within {self._limits.call_s:g} s"
            ) from error

    async def _insist(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        for _ in range(TRIES):
            connection = await self._connected()
            try:
                return await work(connection)
            except SessionLost:
                continue
        raise ToolFailed(f"the MCP server {self._entry.name} does not keep its sessions")

    async def _connected(self) -> Connection:
        """The open connection; one task opens it while the others wait."""
        connection_type = await asyncio.to_thread(_load)
        async with self._opening:
            if self._is_closed:
                raise ToolFailed("the run is over; no tool can be called")
            if not self._connections or self._connections[-1].is_over:
                self._connections.append(self._started(connection_type))
                await self._close_former()
            connection = self._connections[-1]
        await connection.opened()
        return connection

    def _started(self, connection_type: type[Connection]) -> Connection:
        connection = connection_type(
            self._entry, outbound=self._outbound, allow_private=self._allow_private, limits=self._limits
        )
        connection.start()
        return connection

    async def _close_former(self) -> None:
        """One that is not closed because its caller is cancelled stays in the list, for `close`."""
        for former in self._connections[:-1]:
            await former.close()
            self._connections.remove(former)


def _load() -> type[Connection]:
    """The protocol's library is large; only a server that talks to MCP servers pays for it."""
    from heavy_agents.tools.mcp.connection import Connection

    for name in LIBRARY_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return Connection
