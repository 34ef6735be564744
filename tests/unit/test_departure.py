"""The deadline of a process that was told to go, kept from outside: a signal, then how and that it ends."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence

import pytest

from commands.departure import EXIT_CODE, INTERRUPTED
from tests.support.process import ROOT

WITHIN_S = 1.0
# A noisy machine starts a process and ends it late; what matters is that somebody ended it.
SLACK_S = 30.0
# So long that a process which ends has not waited for it.
LONG_S = 600.0

PROGRAM = """
import asyncio, threading, time
from commands.departure import leave_in_time

async def ignore():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def serve(departure):
    told = asyncio.Event()
    departure.tell(told.set)
    print("serving", flush=True)
    await told.wait()
    print("told", flush=True)

async def work(departure):
{body}

asyncio.run(leave_in_time(work, within_s={within_s}))
print("over", flush=True)
"""


async def leave(
    body: str, signals: Sequence[int], *, within_s: float = WITHIN_S, ends_in_s: float = WITHIN_S + SLACK_S
) -> tuple[int, list[str]]:
    """Run a program, send it `signals` once it serves; its exit code, and what it has said."""
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM.replace("{body}", indented).replace("{within_s}", str(within_s)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    said = [(await process.stdout.readline()).decode().strip()]
    for number in signals:
        process.send_signal(number)
        if len(signals) > 1:
            # A second one that comes before the first was heard is the same one.
            said.append((await process.stdout.readline()).decode().strip())
    async with asyncio.timeout(ends_in_s):
        rest, _ = await process.communicate()
    lines = [line for line in [*said, *rest.decode().splitlines()] if line and not line.startswith("\x1b")]
    return process.returncode or 0, lines


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_who_was_named_is_told_and_the_process_ends_well(number: int) -> None:
    code, said = await leave("await serve(departure)", [number])

    assert code == 0
    assert [line for line in said if line in {"serving", "told", "over"}] == ["serving", "told", "over"]


async def test_before_anybody_is_named_the_work_is_cancelled() -> None:
    body = "print('serving', flush=True)\ntry:\n    await asyncio.sleep(60)\nfinally:\n    print('cleaned')"

    code, said = await leave(body, [signal.SIGTERM])

    assert code == 0
    assert "cleaned" in said


async def test_a_loop_that_hangs_is_ended_when_the_time_is_over() -> None:
    code, said = await leave("await serve(departure)\ntime.sleep(60)", [signal.SIGTERM])

    assert code == EXIT_CODE
    assert any("drain_overrun" in line for line in said)
    assert "over" not in said


async def test_a_task_that_never_ends_is_not_waited_for_once_all_is_done() -> None:
    body = "task = asyncio.create_task(ignore())\nawait serve(departure)"

    code, said = await leave(body, [signal.SIGTERM], within_s=LONG_S)

    assert code == 0
    assert not any("drain_overrun" in line for line in said)


async def test_a_thread_that_never_ends_is_not_waited_for_once_all_is_done() -> None:
    body = "threading.Thread(target=time.sleep, args=(600,)).start()\nawait serve(departure)"

    code, said = await leave(body, [signal.SIGTERM], within_s=LONG_S)

    assert code == 0
    assert "over" in said


async def test_sigterm_again_changes_nothing() -> None:
    body = "await serve(departure)\nprint('waits', flush=True)\nawait asyncio.sleep(0.3)"

    code, said = await leave(body, [signal.SIGTERM, signal.SIGTERM])

    assert code == 0
    assert "over" in said


async def test_ctrl_c_twice_ends_at_once() -> None:
    body = "await serve(departure)\nawait asyncio.sleep(60)"

    code, said = await leave(body, [signal.SIGINT, signal.SIGINT], within_s=LONG_S)

    assert code == INTERRUPTED
    assert "over" not in said
