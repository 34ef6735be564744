"""What an MCP server gets of our HTTP, and how much of its answers is read.

Between the library and the guarded client. One failed exchange fails one call, not the session: it becomes
the JSON-RPC error that answers just that call. The library reads whole answers and waits for notices to be
taken; here each answer has a size and an end, and notices travel beside the calls, so that no server can hold
us up. Loaded with the library.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import httpx2
import orjson

from foundation.errors import HeavyError, Json
from foundation.lifecycle import TaskOwner
from heavy_agents.tools.mcp.entry import McpLimits

__all__ = ["LOST", "UNREACHED", "Wire"]

# Codes that no server has a reason to use; the worst that comes of one that does is a wrong sentence.
LOST: Final = -32_790
UNREACHED: Final = -32_791

NOTICE_S: Final = 1.0
# When the session ends: for the notices under way, then for the farewell.
LAST_NOTICES_S: Final = 0.4
FAREWELL_S: Final = 0.3
MAX_NOTICES: Final = 16
# A server may cut an answer and have it resumed; one that does nothing else is not asked for ever.
MAX_RESUMES: Final = 64
RESUME_DELAY_S: Final = 0.2
NOT_FOUND: Final = 404
FIRST_ERROR: Final = 400
ASKED_IN_VAIN: Final = (HeavyError, httpx2.HTTPError, httpx2.StreamError, TimeoutError)
EVENT_STREAM: Final = "text/event-stream"


class Wire(httpx2.AsyncBaseTransport):
    def __init__(self, client: httpx2.AsyncClient, *, origin: str, limits: McpLimits) -> None:
        """`client` is guarded, and closed by who opened it; `origin` is the only one that is asked."""
        self._client = client
        self._origin = origin
        self._limits = limits
        self._notices = TaskOwner("mcp.notices")
        self._under_way: set[asyncio.Task[None]] = set()
        self._resumes = 0
        self.is_lost = False  # the server said that it does not know the session

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if _origin(request.url) != self._origin:
            return _failure(request, "redirects to another server")
        if request.method == "GET":
            return await self._resumed(request)
        if request.method != "POST":
            # The library says farewell even when it is cancelled, and waits for the answer.
            async with asyncio.timeout(FAREWELL_S):
                return await self._exchange(request)
        message = _message(request)
        if "id" in message and "method" in message:
            return await self._answered(request)
        if message.get("method") == "notifications/initialized":
            return await self._answered(request)
        return self._beside(request)

    async def settled(self) -> None:
        """Give the notices under way a moment to arrive."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=LAST_NOTICES_S)

    async def aclose(self) -> None:
        await self._notices.stop(within_s=NOTICE_S)

    async def _answered(self, request: httpx2.Request) -> httpx2.Response:
        try:
            answer = await self._exchange(request)
        except ASKED_IN_VAIN as error:
            return _failure(request, _why(error))
        if answer.status_code == NOT_FOUND and "mcp-session-id" in request.headers:
            self.is_lost = True
            return _failure(request, "does not know the session any more", code=LOST)
        if answer.has_redirect_location and not self._stays(request, answer):
            return _failure(request, "redirects elsewhere; give the agent the final address")
        if answer.status_code >= FIRST_ERROR and not _is_rpc_error(answer):
            return _failure(request, f"answers with HTTP status {answer.status_code}")
        return answer

    async def _resumed(self, request: httpx2.Request) -> httpx2.Response:
        """Answers that broke off; the standing stream for what a server says unasked is not opened."""
        if "last-event-id" not in request.headers or self._resumes >= MAX_RESUMES:
            return httpx2.Response(405, request=request)
        self._resumes += 1
        await asyncio.sleep(RESUME_DELAY_S)
        return await self._exchange(request)

    def _beside(self, request: httpx2.Request) -> httpx2.Response:
        if len(self._under_way) < MAX_NOTICES:
            notice = self._notices.spawn("notice", self._notify(request))
            self._under_way.add(notice)
            notice.add_done_callback(self._under_way.discard)
        return httpx2.Response(202, request=request)

    async def _notify(self, request: httpx2.Request) -> None:
        with suppress(*ASKED_IN_VAIN):
            async with asyncio.timeout(NOTICE_S):
                answer = await self._client.send(request, stream=True, follow_redirects=False)
                await answer.aclose()

    async def _exchange(self, request: httpx2.Request) -> httpx2.Response:
        """One answer: an event stream as it comes, anything else read to its end."""
        ends_at_s = asyncio.get_running_loop().time() + self._limits.call_s
        async with asyncio.timeout_at(ends_at_s):
            answer = await self._client.send(request, stream=True, follow_redirects=False)
        body = _Bounded(answer, ends_at_s=ends_at_s, max_bytes=self._most_bytes(request))
        if answer.headers.get("content-encoding", "identity") != "identity":
            await body.aclose()
            raise httpx2.DecodingError("it was asked not to compress", request=request)
        if answer.headers.get("content-type", "").lower().startswith(EVENT_STREAM):
            return httpx2.Response(answer.status_code, headers=answer.headers, stream=body, request=request)
        try:
            content = b"".join([part async for part in body])
        finally:
            await body.aclose()
        return httpx2.Response(answer.status_code, headers=answer.headers, content=content, request=request)

    def _most_bytes(self, request: httpx2.Request) -> int:
        is_list = _message(request).get("method") == "tools/list"
        return self._limits.listing_bytes if is_list else self._limits.answer_bytes

    def _stays(self, request: httpx2.Request, answer: httpx2.Response) -> bool:
        try:
            return _origin(request.url.join(answer.headers["location"])) == self._origin
        except (httpx2.InvalidURL, ValueError):
            return False


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends by a time and a size."""

    def __init__(self, answer: httpx2.Response, *, ends_at_s: float, max_bytes: int) -> None:
        self._answer = answer
        self._ends_at_s = ends_at_s
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = aiter(self._answer.aiter_raw())
        read_bytes = 0
        while True:
            async with asyncio.timeout_at(self._ends_at_s):
                part = await anext(parts, None)
            if part is None:
                return
            read_bytes += len(part)
            if read_bytes > self._max_bytes:
                raise _TooMuch(f"answers with more than {self._max_bytes // 1024} kB")
            yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


class _TooMuch(httpx2.StreamError):
    """The text says how much is taken."""


def _failure(request: httpx2.Request, saying: str, *, code: int = UNREACHED) -> httpx2.Response:
    """An answer of our own in the server's place; `saying` goes on where "the MCP server x" ends."""
    error: Json = {"code": code, "message": saying}
    message = {"jsonrpc": "2.0", "id": _message(request).get("id"), "error": error}
    headers = {"content-type": "application/json"}
    return httpx2.Response(502, headers=headers, content=orjson.dumps(message), request=request)


def _why(error: Exception) -> str:
    match error:
        case _TooMuch():
            return str(error)
        case HeavyError():
            return f"could not be asked: {error.detail}"
        case httpx2.ConnectError():
            return "could not be reached"
        case TimeoutError() | httpx2.TimeoutException():
            return "did not answer in time"
        case httpx2.DecodingError():
            return "compresses its answers, which it was asked not to do"
        case _:
            return "broke off its answer"


def _is_rpc_error(answer: httpx2.Response) -> bool:
    return isinstance(_object(answer.content).get("error"), dict)


def _message(request: httpx2.Request) -> dict[str, Json]:
    return _object(request.content) if request.method == "POST" else {}


def _object(content: bytes) -> dict[str, Json]:
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _origin(url: httpx2.URL) -> str:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
    host = url.raw_host.decode("ascii")
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{port}".lower()
