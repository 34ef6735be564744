"""How late the event loop is and what it carries, and the end of a process whose loop stands still.

The platform asks for health only at a deploy, so a wedged process would stay for ever; it has to end itself
to be started again. Two guards, because a loop can be stuck in two ways:

- A thread looks whether the loop has ticked. It counts its own looks, not the time between them: a process
  that was stopped as a whole, or a machine that slept, is late but not wedged.
- Code that never lets go of the interpreter (a runaway regular expression) stops that thread too. Behind it
  stands the timer of `faulthandler`, in C, at `hard_limit_s`.

Both leave the stacks of all threads on stderr.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import threading
from collections.abc import Callable

from foundation.clock import Clock
from foundation.telemetry.metrics import Metrics

__all__ = ["EXIT_CODE", "Watchdog", "end_process"]

EXIT_CODE = 70  # EX_SOFTWARE of sysexits.h
STDERR = 2
DUMP_LIMIT_S = 2
SAMPLE_S = 0.25
LOOKS = 10  # without a tick, until the end


class Watchdog:
    """A lifecycle service; one a process.

    Args:
        limit_s: how long the loop may stand still.
        hard_limit_s: the same for the interpreter itself; None for no such guard.
        end: what is done then; ends the process by default. Called in the watching thread.
    """

    def __init__(
        self,
        metrics: Metrics,
        clock: Clock,
        *,
        limit_s: float = 30.0,
        hard_limit_s: float | None = 60.0,
        end: Callable[[], None] | None = None,
    ) -> None:
        self._lag_seconds = metrics.event_loop_lag_seconds
        self._tasks = metrics.event_loop_tasks
        self._clock = clock
        self._limit_s = limit_s
        self._hard_limit_s = hard_limit_s
        self._end = end if end is not None else _end
        self._ticks = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks.set_function(lambda: len(asyncio.all_tasks(loop)))
        self._ticking = asyncio.create_task(self._tick(), name="watchdog.tick")
        self._thread.start()

    async def drain(self) -> None:
        """Go on watching: a drain can hang as well."""

    async def stop(self) -> None:
        self._is_over.set()
        faulthandler.cancel_dump_traceback_later()
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait([self._ticking])
            self._thread.join(timeout=1.0)

    async def _tick(self) -> None:
        while True:
            self._ticks += 1
            if self._hard_limit_s is not None:
                faulthandler.dump_traceback_later(self._hard_limit_s, exit=True, file=STDERR)
            before_s = self._clock.monotonic()
            await asyncio.sleep(SAMPLE_S)
            self._lag_seconds.observe(max(0.0, self._clock.monotonic() - before_s - SAMPLE_S))

    def _watch(self) -> None:
        seen, looks = -1, 0
        while not self._is_over.wait(self._limit_s / LOOKS):
            looks = 0 if self._ticks != seen else looks + 1
            seen = self._ticks
            if looks >= LOOKS:
                self._end()
                return


def _end() -> None:
    end_process("event_loop_stands_still")


def end_process(event: str) -> None:
    """Say what has happened, dump all stacks, and end without any clean-up: nothing can be trusted to finish.

    Logs nothing: the loop may be stuck in writing to a pipe that nobody empties. Should stderr be such a
    pipe, the alarm ends the process.
    """
    signal.alarm(DUMP_LIMIT_S)
    os.write(STDERR, b'{"event":"%b","level":"critical"}\n' % event.encode())
    faulthandler.dump_traceback(file=STDERR)
    os._exit(EXIT_CODE)
