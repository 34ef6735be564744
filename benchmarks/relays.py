"""The rounds of the token benchmark: each subject carries all streams, and is looked at in their middle."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.child import Child, child
from benchmarks.figures import Table
from benchmarks.relayed import Load, Subject, subjects_of
from benchmarks.report import write_figures
from benchmarks.rivals import LITELLM, versions

__all__ = ["measure"]

TRIES: Final = 3
CPU: Final = "CPU a token, µs"
P50: Final = "under way p50, ms"
P99: Final = "p99, ms"
MACHINE: Final = "machine in use, %"


async def measure(load: Load, *, rounds: int, json_file: Path | None, only: Sequence[str] | None) -> None:
    table = Table(f"{load.streams} streams, {load.pace:g} tokens a second each", (CPU, P50, P99, MACHINE), 1)
    async with subjects_of(load, only) as subjects, child("benchmarks.listeners") as listeners:
        for number in range(rounds + 1):
            for subject in subjects:
                measured = await _counted_round(load, subject, listeners)
                if number > 0:  # the first one warms up
                    table.add(subject.name, measured)
    table.print()
    if json_file is not None:
        libraries = ("openai", "httpx2", "starlette", "uvicorn", "asyncpg")
        ours = {name: version(name) for name in libraries}
        about = {
            "versions": {"Switchyard": ours, **versions((LITELLM,))},
            "rounds": rounds,
            "load": asdict(load),
        }
        write_figures(json_file, [asdict(each) for each in table.medians()], about=about)


async def _counted_round(load: Load, subject: Subject, listeners: Child) -> dict[str, float]:
    for _ in range(TRIES):
        if (measured := await _round(load, subject, listeners)) is not None:
            return measured
    raise RuntimeError(f"no round of {subject.name} counts; this machine stands still too often")


async def _round(load: Load, subject: Subject, listeners: Child) -> dict[str, float] | None:
    listeners.tell({"port": subject.port, "requests": subject.requests(), "over_s": load.over_s})
    from_s, to_s = load.window_s
    await asyncio.sleep(from_s)
    before = _Look.at(subject.process)
    await asyncio.sleep(to_s - from_s)
    after = _Look.at(subject.process)
    heard = await listeners.answer()
    if len(heard["sent_ns"]) != load.streams * load.tokens:
        # On a machine that stands still for seconds leases run out, and runs begin again elsewhere.
        print(f"a round of {subject.name} does not count: {len(heard['sent_ns'])} words were told")
        return None
    return _figures(before, after, heard)


@dataclass(frozen=True, slots=True)
class _Look:
    """At one moment: the subject's CPU so far, and the machine's, busy and in all."""

    at_ns: int
    cpu_s: float
    busy_s: float
    all_s: float

    @classmethod
    def at(cls, process: psutil.Process | None) -> _Look:
        cpu_s = 0.0 if process is None else sum(process.cpu_times()[:2])
        machine = psutil.cpu_times()
        all_s = sum(machine)
        return cls(time.monotonic_ns(), cpu_s, all_s - machine.idle - machine.iowait, all_s)


# Any: what the listeners say, as JSON.
def _figures(before: _Look, after: _Look, heard: dict[str, Any]) -> dict[str, float]:
    pairs = zip(heard["sent_ns"], heard["took_ns"], strict=True)
    took_ms = [took / 1e6 for sent, took in pairs if before.at_ns <= sent < after.at_ns]
    hundredths = statistics.quantiles(took_ms, n=100)
    return {
        CPU: (after.cpu_s - before.cpu_s) * 1e6 / len(took_ms),
        P50: statistics.median(took_ms),
        P99: hundredths[98],
        MACHINE: 100 * (after.busy_s - before.busy_s) / (after.all_s - before.all_s),
    }
