"""The watchdog measures a late loop and ends a process that is stuck, with real processes for the end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from foundation.clock import SystemClock
from foundation.telemetry import Metrics, Watchdog

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 20.0
PREAMBLE = """
import asyncio, os, re, sys, time
from foundation.clock import SystemClock
from foundation.telemetry import Metrics, Watchdog

async def main(stuck, limit_s, hard_limit_s):
    await Watchdog(Metrics(), SystemClock(), limit_s=limit_s, hard_limit_s=hard_limit_s).start()
    await asyncio.sleep(0)
    stuck()
    for _ in range(3): await asyncio.sleep(0.3)

def asleep_on_the_loop():
    time.sleep(60)

def lost_in_an_expression():
    re.match(r"(a+)+b", "a" * 60)
"""


def start(program: str, *, stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


def samples(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("event_loop_lag_seconds_count") or 0.0


async def test_the_lag_of_the_loop_is_sampled() -> None:
    metrics = Metrics()
    watchdog = Watchdog(metrics, SystemClock(), hard_limit_s=None)
    await watchdog.start()

    async with asyncio.timeout(LIMIT_S):
        while not samples(metrics):
            await asyncio.sleep(0.01)
    await watchdog.drain()
    await watchdog.stop()


async def test_the_tasks_of_the_loop_are_counted() -> None:
    metrics = Metrics()
    watchdog = Watchdog(metrics, SystemClock(), hard_limit_s=None)
    await watchdog.start()
    before = metrics.registry.get_sample_value("event_loop_tasks")

    sleeping = [asyncio.create_task(asyncio.sleep(LIMIT_S)) for _ in range(3)]
    # Whoever reads the metrics may be a thread.
    with_them = await asyncio.to_thread(metrics.registry.get_sample_value, "event_loop_tasks")
    for each in sleeping:
        each.cancel()
    await asyncio.wait(sleeping)

    assert before == len(asyncio.all_tasks()), "the test and the tick"
    assert with_them == before + 3
    assert metrics.registry.get_sample_value("event_loop_tasks") == before
    await watchdog.stop()


async def test_a_loop_that_stands_still_is_ended_once() -> None:
    ended = threading.Semaphore(0)
    watchdog = Watchdog(Metrics(), SystemClock(), limit_s=0.2, hard_limit_s=None, end=ended.release)
    await watchdog.start()
    await asyncio.sleep(0)

    is_ended = ended.acquire(timeout=LIMIT_S)  # blocks the loop
    await watchdog.stop()

    assert is_ended
    assert not ended.acquire(blocking=False)


async def test_a_loop_that_turns_is_left_alone() -> None:
    ended = threading.Event()
    metrics = Metrics()
    watchdog = Watchdog(metrics, SystemClock(), limit_s=0.6, hard_limit_s=None, end=ended.set)
    await watchdog.start()

    async with asyncio.timeout(LIMIT_S):
        while samples(metrics) < 4:
            await asyncio.sleep(0.01)
    await watchdog.stop()

    assert not ended.is_set()


async def test_a_stopped_watchdog_watches_no_more() -> None:
    ended = threading.Event()
    watchdog = Watchdog(Metrics(), SystemClock(), limit_s=0.1, hard_limit_s=None, end=ended.set)
    await watchdog.start()
    await watchdog.stop()

    assert not watchdog._thread.is_alive()
    assert not ended.is_set()


async def test_a_watchdog_that_never_started_can_be_stopped() -> None:
    await Watchdog(Metrics(), SystemClock()).stop()


def test_a_process_stuck_in_its_loop_ends_itself_and_shows_where() -> None:
    process = start("asyncio.run(main(asleep_on_the_loop, 0.5, None))")

    _, said = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 70
    assert b"event_loop_stands_still" in said
    assert b"in asleep_on_the_loop" in said


def test_a_process_whose_interpreter_is_stuck_ends_too() -> None:
    process = start("asyncio.run(main(lost_in_an_expression, 30, 0.5))")

    _, said = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 1
    assert b"in lost_in_an_expression" in said


def test_a_process_that_was_suspended_is_not_taken_for_a_stuck_one() -> None:
    process = start("asyncio.run(main(lambda: print('up', flush=True), 0.5, None))")
    assert process.stdout is not None
    process.stdout.readline()

    process.send_signal(signal.SIGSTOP)
    time.sleep(1.0)  # the fault itself: twice the limit goes by
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=LIMIT_S)

    assert (process.returncode, said) == (0, b"")


def test_a_process_stuck_on_a_full_stderr_still_ends() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while True:
            os.write(write_end, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(write_end, True)

    process = start("asyncio.run(main(asleep_on_the_loop, 0.3, None))", stderr=write_end)
    process.communicate(timeout=LIMIT_S)
    os.close(read_end)
    os.close(write_end)

    assert process.returncode == -signal.SIGALRM
