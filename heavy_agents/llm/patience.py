"""How long one try waits: for the first token, for the next line, for the whole turn.

A stream gives signs of life thousands of times, so a sign only notes the time; one timer looks now and then
whether the last sign is too old. While the listener is busy with what came, the provider is not silent.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType

__all__ = ["Deadline", "Limits", "Patience"]

# After the last word of an answer only its usage is to come.
LAST_WORDS_S = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds.

    Attributes:
        connect_s: for opening a connection.
        first_token_s: from asking until the first token, with all retries.
        silence_s: between two lines of the stream, and for the head of an answer.
        turn_s: for everything.
    """

    connect_s: float = 10.0
    first_token_s: float = 300.0
    silence_s: float = 120.0
    turn_s: float = 900.0


class Deadline(StrEnum):
    FIRST_TOKEN = "first_token"  # noqa: S105 - a token of a model
    SILENCE = "silence"
    TURN = "turn"


class Patience:
    """`async with`: raises TimeoutError at the first deadline, which `missed` then names."""

    def __init__(self, limits: Limits, *, began_s: float) -> None:
        """`began_s`: when the turn was asked for, on the loop's clock; earlier tries count."""
        self.missed: Deadline | None = None
        self._loop = asyncio.get_running_loop()
        self._silence_s = limits.silence_s
        self._first_due_s: float | None = began_s + limits.first_token_s
        self._turn_due_s = began_s + limits.turn_s
        self._heard_s: float | None = None
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    def listen(self) -> None:
        """A sign of life came, or the listener is back: the provider may be silent again."""
        self._heard_s = self._loop.time()

    def pause(self) -> None:
        """The provider is not waited for."""
        self._heard_s = None

    def begun(self) -> None:
        """The first token is here."""
        self._first_due_s = None

    def expect_last_words(self) -> None:
        """The answer is whole; what is still to come is short."""
        if self._silence_s > LAST_WORDS_S:
            self._silence_s = LAST_WORDS_S
            self._look()

    async def __aenter__(self) -> Patience:
        await self._timeout.__aenter__()
        self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _look(self) -> None:
        """Miss a deadline that is over, or look again when the next one could be."""
        if self._timer is not None:
            self._timer.cancel()
        now_s = self._loop.time()
        due_s, deadline = min(self._deadlines(now_s))
        if now_s < due_s:
            self._timer = self._loop.call_at(due_s, self._look)
        elif self.missed is None:
            self.missed = deadline
            self._timeout.reschedule(now_s)

    def _deadlines(self, now_s: float) -> list[tuple[float, Deadline]]:
        # Not waiting for it now: it can be over no earlier than a whole silence from here.
        heard_s = now_s if self._heard_s is None else self._heard_s
        deadlines = [(heard_s + self._silence_s, Deadline.SILENCE), (self._turn_due_s, Deadline.TURN)]
        if self._first_due_s is not None:
            deadlines.append((self._first_due_s, Deadline.FIRST_TOKEN))
        return deadlines
