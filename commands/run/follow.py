"""One run from its first message to its last, over as many connections as that takes.

The place is one number, the `seq` of the last message taken. A connection that ends before the run does, a
server that restarts, or one that was killed is asked again from that number; before the run has an id, the
submit itself is repeated under its key, which joins the run instead of making another.

    no id yet ── submit(key) ──► messages ──► last message
                    ▲               │ lost          ▲
                    └── no id ──────┤               │
                                    └── follow(id, after=seq)
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from commands.run.door import Door, Opened
from commands.run.patience import GIVE_UP_S, Patience
from commands.run.refused import Lost, Refused
from commands.run.transcript import Order, Transcript
from commands.run.words import Message

__all__ = ["ENDINGS", "Course", "GivenUp", "insist"]

ENDINGS: Final = frozenset({"done", "error"})
# A stream that has lasted so long was a good one, even if nothing was said in it.
GOOD_STREAM_S: Final = 10.0

T = TypeVar("T")
Tell = Callable[[str], None]


class GivenUp(Exception):
    """The server did not come back in time; the run may go on without us."""


@dataclass
class Course:
    """A run to be read. Either `run_id` is known, or `body` and `key` make it."""

    door: Door
    tell: Tell
    # Any: a body of the wire.
    body: dict[str, Any] | None = None
    key: str = ""
    run_id: str | None = None
    transcript: Transcript = field(default_factory=Transcript)

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Every message after the transcript's place, once and in order; the caller takes each.

        Raises:
            Refused: the server will not do it.
            GivenUp: it did not come back.
        """
        loop = asyncio.get_running_loop()
        patience = Patience(GIVE_UP_S, loop.time())
        while True:
            opened_s = loop.time()
            try:
                async with aclosing(self._connection()) as messages:
                    async for message in messages:
                        patience.well(loop.time())
                        yield message
            except Lost as lost:
                if loop.time() - opened_s > GOOD_STREAM_S:
                    patience.well(loop.time())
                await _pause(patience, lost, self.tell)
            else:
                return

    async def _connection(self) -> AsyncGenerator[Message, None]:
        """What comes over one connection; ends with the run, and raises `Lost` when it ends before."""
        async with self._stream() as opened:
            self.run_id = opened.run_id
            if opened.messages is None:
                return
            async for message in opened.messages:
                if self._is_next(message):
                    yield message
                    if message["type"] in ENDINGS:
                        return
            raise Lost("the stream ended")

    def _stream(self) -> AbstractAsyncContextManager[Opened]:
        if self.run_id is not None:
            return self.door.follow(self.run_id, after=self.transcript.seq)
        return self.door.submit(self.body or {}, key=self.key)

    def _is_next(self, message: Message) -> bool:
        if "seq" not in message:
            # About the stream, not the run: this server goes away, or has streamed as long as it may.
            raise Lost("the server asks to come back")
        match self.transcript.order_of(message):
            case Order.NEXT:
                return True
            case Order.SEEN:
                return False
            case Order.GAP:
                raise Lost("a message is missing")


async def insist(ask: Callable[[], Awaitable[T]], *, tell: Tell, limit_s: float = GIVE_UP_S) -> T:
    """What `ask` answers, asked again while that may help.

    Raises:
        Refused: the server will not do it.
        GivenUp: it did not answer within `limit_s`.
    """
    patience = Patience(limit_s, asyncio.get_running_loop().time())
    while True:
        try:
            return await ask()
        except Lost as lost:
            await _pause(patience, lost, tell)


async def _pause(patience: Patience, lost: Lost, tell: Tell) -> None:
    now_s = asyncio.get_running_loop().time()
    roll = random.random()  # noqa: S311 - jitter
    pause_s = patience.pause_s(now_s, retry_after_s=lost.retry_after_s, roll=roll)
    if pause_s is None:
        if lost.refusal is not None:
            raise Refused(lost.refusal.lines, lost.refusal.document) from lost
        raise GivenUp(lost.reason) from lost
    tell(f"{lost.reason}; asking again in {pause_s:.1f} s")
    await asyncio.sleep(pause_s)
