"""How a subject is driven: it reads batches from its input, does them, and says what they cost.

In:  {"runs": 96, "concurrency": 16}
Out: {"cpu_s": 0.81, "wall_s": 1.2}

The first line out is {"versions": {…}}, once the subject is ready. Needs no library but uvloop, because
peers use it in environments of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

import uvloop

from benchmarks.script import ANSWER

__all__ = ["follow_orders", "start"]

# One run of the loop; answers with the model's last text.
Run = Callable[[], Awaitable[str]]


def start(subject: Coroutine[None, None, None]) -> None:
    """All subjects run on the loop that the server ships with."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(subject)


async def follow_orders(
    run: Run,
    *,
    libraries: tuple[str, ...],
    cpu_s: Callable[[], float] = time.process_time,
    expected: str = ANSWER,
) -> None:
    """Do what the input says, until it ends.

    Args:
        expected: what each run must come to.
        cpu_s: CPU seconds that the measured process has used so far; by default this one.
    """
    answers, sys.stdout = sys.stdout, _nowhere()
    _say(answers, {"versions": {name: version(name) for name in libraries}})
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        began_s, cpu_began_s = time.perf_counter(), cpu_s()
        await _batch(run, runs=order["runs"], concurrency=order["concurrency"], expected=expected)
        _say(answers, {"cpu_s": cpu_s() - cpu_began_s, "wall_s": time.perf_counter() - began_s})


async def _batch(run: Run, *, runs: int, concurrency: int, expected: str) -> None:
    left = iter(range(runs))

    async def one_after_the_other() -> None:
        for _ in left:
            answer = await run()
            if answer != expected:
                raise ValueError(f"the answer is {answer!r}")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(concurrency):
            tasks.create_task(one_after_the_other())


def _nowhere() -> TextIO:
    """Where a subject logs to: lines are made and written as ever, and do not mix with the answers."""
    return Path(os.devnull).open("w", encoding="utf-8")


def _say(answers: TextIO, document: dict[str, object]) -> None:
    answers.write(json.dumps(document) + "\n")
    answers.flush()
