"""How spans and reports leave the process: a queue with an end, and one task that posts what is in it.

Whoever hands something in never waits and never fails. A receiver that is away, slow or unwilling costs what
does not fit into the queue: that is counted, and said once, not once a batch. At the end there is half a
second for what is left.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import structlog

from foundation.errors import HeavyError

__all__ = ["Answer", "Courier", "Freight", "Post"]

log = structlog.get_logger(__name__)

T = TypeVar("T")

POST_S: Final = 10.0
STOP_S: Final = 0.5
MAX_ANSWER_BYTES: Final = 64 * 1024
# Seconds before each further try of a batch. A receiver that says how long is believed up to a minute.
PAUSES_S: Final = (1.0, 2.0, 4.0, 8.0)
LONGEST_PAUSE_S: Final = 60.0
# Of OTLP: what may be different in a moment.
PASSING: Final = frozenset({429, 502, 503, 504})
FIRST_REFUSAL: Final = 300


class Answer(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...


class Post(Protocol):
    """The way out: `foundation.outbound.Outbound`."""

    async def fetch(
        self,
        url: str,
        *,
        method: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float,
        max_bytes: int,
        allow_private: bool,
        may_follow: Callable[[str], bool],
    ) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Freight(Generic[T]):
    """What is carried where.

    Attributes:
        name: for the log.
        pack: makes the body of a batch, in a thread.
        capacity: items that may wait; what comes then is dropped.
        batch: so many leave at once, or what there is every `every_s`.
        lost: is told how many will never arrive.
    """

    name: str
    url: str
    headers: Mapping[str, str]
    pack: Callable[[Sequence[T]], bytes]
    capacity: int
    batch: int
    every_s: float
    lost: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Setback:
    why: str
    may_retry: bool = False
    pause_s: float | None = None


class Courier(Generic[T]):
    """A service; usable from any thread between `start` and `stop`."""

    def __init__(self, freight: Freight[T], post: Post) -> None:
        self._freight = freight
        self._post = post
        self._waiting: deque[T] = deque()
        self._news = asyncio.Event()
        self._is_ending = asyncio.Event()
        self._is_failing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> tuple[T, ...]:
        return tuple(self._waiting)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._carry(), name=f"courier.{self._freight.name}")

    async def drain(self) -> None:
        """Send what there is at once: the rest of the drain is time to arrive."""
        self._news.set()

    async def stop(self) -> None:
        self._is_ending.set()
        self._news.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_S)
            self._task.cancel()
        if left := len(self._waiting):
            self._lose(left, "no_time_left")

    def put(self, item: T) -> None:
        """Never waits, never raises."""
        if len(self._waiting) >= self._freight.capacity:
            self._lose(1, "queue_full")
            return
        self._waiting.append(item)
        if len(self._waiting) >= self._freight.batch and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the end has counted what was left
                self._loop.call_soon_threadsafe(self._news.set)

    async def _carry(self) -> None:
        while not (self._is_ending.is_set() and not self._waiting):
            await self._until_due()
            if self._waiting:
                await self._carry_batch()

    async def _until_due(self) -> None:
        """A batch is full, or has waited long enough, or everything has to go."""
        if self._is_ending.is_set() or len(self._waiting) >= self._freight.batch:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._freight.every_s):
                await self._news.wait()
        self._news.clear()

    async def _carry_batch(self) -> None:
        batch = [self._waiting[number] for number in range(min(len(self._waiting), self._freight.batch))]
        setback = await self._deliver(batch)
        # They leave the queue only now: should this task end before, they are counted as left.
        for _ in batch:
            self._waiting.popleft()
        if setback is not None:
            self._lose(len(batch), setback.why)
        elif self._is_failing:
            self._is_failing = False
            log.info("telemetry_arrives_again", what=self._freight.name)

    async def _deliver(self, batch: Sequence[T]) -> _Setback | None:
        try:
            body = await asyncio.to_thread(self._freight.pack, batch)
        except Exception as error:
            # A span that cannot be written must not keep the others from it.
            return _Setback(type(error).__name__)
        for pause_s in (*PAUSES_S, None):
            setback = await self._try(body)
            if setback is None or not setback.may_retry or pause_s is None or self._is_ending.is_set():
                return setback
            self._warn(setback.why)
            await self._pause(pause_s if setback.pause_s is None else setback.pause_s)
        raise AssertionError("unreachable")

    async def _try(self, body: bytes) -> _Setback | None:
        try:
            answer = await self._post.fetch(
                self._freight.url,
                method="POST",
                headers=self._freight.headers,
                body=body,
                timeout_s=POST_S,
                max_bytes=MAX_ANSWER_BYTES,
                allow_private=True,
                may_follow=lambda _: False,
            )
        except HeavyError as error:
            return _Setback(type(error).__name__, may_retry=error.retryable)
        except Exception as error:
            return _Setback(type(error).__name__)
        if answer.status < FIRST_REFUSAL:
            return None
        is_passing = answer.status in PASSING
        return _Setback(f"status_{answer.status}", is_passing, _retry_after_s(answer.headers))

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_ending.wait()

    def _lose(self, count: int, why: str) -> None:
        self._freight.lost(count)
        self._warn(why)

    def _warn(self, why: str) -> None:
        """Once for every time it begins to fail."""
        if not self._is_failing:
            self._is_failing = True
            log.warning("telemetry_does_not_arrive", what=self._freight.name, why=why)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Only seconds: a date would need the other side's clock."""
    text = headers.get("retry-after", "")
    return min(float(text), LONGEST_PAUSE_S) if text.isdecimal() else None
