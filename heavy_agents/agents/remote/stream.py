"""One stream of another backend's run: its messages as they come, and every way in which it may stop."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import anyio
import httpx2
import orjson

from foundation.errors import BackendFailed
from foundation.outbound import Lines, LineTooLong, OutboundFailed
from heavy_agents.agents.remote.errors import Away, Refused
from heavy_agents.agents.remote.messages import Message
from heavy_agents.agents.remote.verdict import FAILED

__all__ = ["CUT", "Stream"]

# An answer has at most 1 MB, and its message says what it has used, too.
MAX_MESSAGE_BYTES: Final = 2 * 1024 * 1024
# The last two are what the HTTP library does not translate.
CUT: Final = (httpx2.HTTPError, httpx2.StreamError, OutboundFailed, ssl.SSLError, anyio.EndOfStream)


class Stream:
    """`close` it, however it ends."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._answer = answer
        self._messages = self._read()
        self._first: Message | None = None

    async def first(self) -> Message:
        """The first message, which `next` gives again.

        Raises:
            Away, Refused: as `next`; also when there is none.
        """
        self._first = await self.next()
        if self._first is None:
            raise Away("ended_early")
        return self._first

    async def next(self) -> Message | None:
        """The next message; None when the other has ended the stream, which says nothing of the run.

        Raises:
            Away: it was cut, or silent for too long.
            Refused: what comes is no stream of a run.
        """
        if (first := self._first) is not None:
            self._first = None
            return first
        try:
            return await anext(self._messages, None)
        except CUT as error:
            cut = type(error).__name__
        # Outside, so that what the network said goes into no log.
        raise Away(f"cut_{cut}")

    async def close(self) -> None:
        with suppress(*CUT, RuntimeError):
            await self._answer.aclose()

    async def _read(self) -> AsyncIterator[Message]:
        lines = Lines(max_bytes=MAX_MESSAGE_BYTES)
        async for part in self._answer.aiter_bytes():
            try:
                for event in lines.feed(part):
                    yield _message(event)
            except LineTooLong:
                raise Refused("message_too_large", BackendFailed(FAILED)) from None


def _message(event: bytes) -> Message:
    try:
        # Any: the other's JSON; whoever uses a member checks it.
        message: Any = orjson.loads(event)
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict):
        raise Refused("malformed_message", BackendFailed(FAILED))
    return message
