"""From SIGTERM or SIGINT to the end of the process: one deadline, and somebody who keeps it.

    asked       the first signal: the clock starts, and whoever was named with `tell` is told
    done        all is handed over and closed; threads and tasks that do not end are not waited for
    overrun     the time is over first: the process ends as it stands, with EXIT_CODE

A thread keeps the deadline, because the loop may be what hangs. It exists before it is needed: nothing is
started in a signal's handler. SIGTERM again changes nothing; SIGINT again, Ctrl-C twice, ends at once.
"""

from __future__ import annotations

import asyncio
import faulthandler
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import orjson
import structlog

__all__ = ["EXIT_CODE", "Departure", "leave_in_time"]

log = structlog.get_logger(__name__)

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130
# Of the deadline, what the interpreter takes to end when all else is done.
LAST_S = 0.1
LINGER_S = 0.3
SAY_LIMIT_S = 1
STDOUT, STDERR = 1, 2


# Any: what a coroutine yields and takes is asyncio's business.
Work = Callable[["Departure"], Coroutine[Any, Any, None]]


async def leave_in_time(work: Work, *, within_s: float) -> None:
    """Do `work` until it returns; a signal that it has not named anybody for cancels it.

    Args:
        within_s: from the first signal to the end of the process.
    """
    departure = Departure(within_s=within_s)
    with departure.listening():
        doing = asyncio.create_task(work(departure), name="departure.work")
        departure.tell(doing.cancel)
        try:
            await doing
        except asyncio.CancelledError:
            if not departure.is_asked:
                raise
        if departure.is_asked:
            log.info("left", after_ms=departure.after_ms, within_s=within_s)
            departure.done()


class Departure:
    """One a process; a signal is only heard inside `listening`."""

    def __init__(self, *, within_s: float) -> None:
        self._within_s = within_s
        self._asked_at_s: float | None = None
        self._ends_at_s = math.inf
        self._exit_code = EXIT_CODE
        self._tell: Callable[[], object] = _nobody
        self._loop = asyncio.get_running_loop()
        self._news = threading.Condition()
        self._guard = threading.Thread(target=self._keep, name="departure", daemon=True)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear SIGTERM and SIGINT until the process ends well: handlers are put back only if none came."""
        self._guard.start()
        before = {each: signal.signal(each, self._hear) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            if not self.is_asked:
                for each, handler in before.items():
                    signal.signal(each, handler)

    @property
    def is_asked(self) -> bool:
        return self._asked_at_s is not None

    @property
    def left_s(self) -> float:
        """Seconds until all should be done; infinite when nobody has asked."""
        return max(self._ends_at_s - LAST_S - time.monotonic(), 0.0)

    @property
    def after_ms(self) -> int:
        """Since it was asked for."""
        return round((time.monotonic() - (self._asked_at_s or time.monotonic())) * 1000)

    def tell(self, whom: Callable[[], object]) -> None:
        """From now on a signal calls `whom`, in the loop; at once if one has come already."""
        self._tell = whom
        if self.is_asked:
            whom()

    def done(self) -> None:
        """All is handed over: what still runs has nothing to lose."""
        self._exit_code = 0
        self._end_by(min(self._ends_at_s, time.monotonic() + LINGER_S))

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self.is_asked:
            if number == signal.SIGINT:
                os._exit(INTERRUPTED)
            return
        self._asked_at_s = time.monotonic()
        self._end_by(self._asked_at_s + self._within_s - LAST_S)
        self._loop.call_soon_threadsafe(self._pass_on, number)

    def _pass_on(self, number: int) -> None:
        log.info("told_to_leave", signal=signal.Signals(number).name, within_s=self._within_s)
        self._tell()

    def _end_by(self, at_s: float) -> None:
        with self._news:
            self._ends_at_s = at_s
            self._news.notify()

    def _keep(self) -> None:
        with self._news:
            while (left_s := self._ends_at_s - time.monotonic()) > 0:
                self._news.wait(None if left_s == math.inf else left_s)
        if self._exit_code:
            self._say_overrun()
        os._exit(self._exit_code)

    def _say_overrun(self) -> None:
        """Straight to the outputs: the log may be what hangs. The alarm ends what hangs in them, too."""
        signal.alarm(SAY_LIMIT_S)
        said = {"event": "drain_overrun", "level": "critical", "within_s": self._within_s}
        os.write(STDOUT, orjson.dumps(said) + b"\n")
        faulthandler.dump_traceback(file=STDERR)


def _nobody() -> None:
    """Whom a signal is told before there is anybody."""
