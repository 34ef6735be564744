"""What becomes of the pool, and of everything a job started, when jobs or the server go wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from foundation.errors import Draining, Json
from foundation.workers import JobCrashed, JobTimedOut, Progress, WorkerPool

JOBS = "tests.support.jobs:"
LIMIT_S = 20.0
ROOT = Path(__file__).resolve().parents[2]


class Listener:
    """Keeps what a job reports, and lets a test wait for the first report."""

    def __init__(self) -> None:
        self._first: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self, progress: Progress) -> None:
        if not self._first.done():
            self._first.set_result(progress.note)

    async def note(self) -> str:
        return await asyncio.wait_for(self._first, LIMIT_S)

    async def pids(self) -> list[int]:
        return [int(pid) for pid in (await self.note()).split()]


@pytest.fixture
async def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkerPool]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # some of these faults leave files behind
    pool = WorkerPool(processes=1, memory_mb=256, allowed=("tests.support.",))
    await pool.start()
    yield pool
    await pool.stop()


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not claim():
            await asyncio.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Ended; also when nobody has collected it yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def run(pool: WorkerPool, job: str, *, timeout_s: float = LIMIT_S, **arguments: Json) -> Json:
    return await pool.run(JOBS + job, dict(arguments), timeout_s=timeout_s)


async def still_works(pool: WorkerPool) -> bool:
    return await run(pool, "echo", well="still") == {"well": "still"}


async def test_a_job_that_hangs_is_ended_at_its_limit(pool: WorkerPool) -> None:
    await pool.warm(JOBS + "hang")
    listener = Listener()

    with pytest.raises(JobTimedOut):
        await pool.run(JOBS + "hang", {}, timeout_s=0.3, on_progress=listener)

    [pid] = await listener.pids()
    await until(lambda: is_gone(pid))
    assert await still_works(pool)


async def test_a_job_that_eats_memory_is_stopped_and_its_process_replaced(pool: WorkerPool) -> None:
    with pytest.raises(JobCrashed, match="memory"):
        await run(pool, "eat_memory")

    assert await still_works(pool)


async def test_a_job_has_the_memory_it_was_promised_and_no_more(pool: WorkerPool) -> None:
    assert await run(pool, "take_memory", bytes=200 * 1024 * 1024) == 200 * 1024 * 1024

    with pytest.raises(JobCrashed, match="memory"):
        await run(pool, "take_memory", bytes=257 * 1024 * 1024)


async def test_a_job_that_exits_abruptly_leaves_its_last_words_in_the_log(pool: WorkerPool) -> None:
    with capture_logs() as logs, pytest.raises(JobCrashed, match="exit code 203"):
        await run(pool, "exit_abruptly")

    assert [line["output"] for line in logs if line["event"] == "job_ended"] == ["last words\n"]
    assert await still_works(pool)


async def test_a_segmentation_fault_is_a_crash_that_says_so(pool: WorkerPool) -> None:
    with capture_logs() as logs, pytest.raises(JobCrashed, match="SIGSEGV"):
        await run(pool, "crash")

    assert "jobs.py" in str(logs)  # the stack of the fault
    assert await still_works(pool)


async def test_a_job_that_prints_200_mb_is_read_but_not_kept(pool: WorkerPool) -> None:
    result = await run(pool, "print_much", bytes=200 * 1024 * 1024)

    assert result == {"printed": True}
    [child] = pool._children
    assert 0 < len(child.output) <= 8 * 1024


async def test_cancelling_the_caller_ends_the_job_and_all_it_started(pool: WorkerPool) -> None:
    listener = Listener()
    job = asyncio.create_task(
        pool.run(JOBS + "hang_with_children", {}, timeout_s=LIMIT_S, on_progress=listener)
    )
    pids = await listener.pids()
    assert not any(is_gone(pid) for pid in pids)

    job.cancel()
    await asyncio.wait([job])

    assert job.cancelled()
    await until(lambda: all(is_gone(pid) for pid in pids))
    assert await still_works(pool)


@pytest.mark.parametrize("error", [LookupError, ConnectionResetError, TimeoutError])
async def test_an_error_in_the_listener_ends_the_job_and_comes_through(
    pool: WorkerPool, error: type[Exception]
) -> None:
    async def refuse(_: Progress) -> None:
        raise error("the lease is lost")

    with pytest.raises(error, match="the lease is lost"):
        await pool.run(JOBS + "hang", {}, timeout_s=LIMIT_S, on_progress=refuse)

    assert await still_works(pool)


async def test_a_job_cancelled_while_its_request_is_unread_is_ended_too(pool: WorkerPool) -> None:
    await pool.warm(JOBS + "echo")
    [child] = pool._children
    keeper = psutil.Process(child._process.pid)
    [worker] = keeper.children()
    worker.suspend()
    job = asyncio.create_task(run(pool, "echo", much="x" * 8_000_000))
    await until(lambda: child._requests.transport.get_write_buffer_size() > 0)

    job.cancel()

    await until(lambda: not child.is_alive)
    assert is_gone(worker.pid)
    assert child._process.returncode == 128 + signal.SIGKILL  # by its keeper, which was not killed itself
    assert await still_works(pool)


async def test_a_process_killed_while_idle_is_replaced(pool: WorkerPool) -> None:
    await pool.warm(JOBS + "echo")
    [child] = pool._children
    psutil.Process(child._process.pid).children()[0].kill()
    await until(lambda: not child.is_alive)

    assert await still_works(pool)


async def test_a_killed_keeper_takes_the_worker_with_it(pool: WorkerPool) -> None:
    listener = Listener()
    job = asyncio.create_task(pool.run(JOBS + "hang", {}, timeout_s=LIMIT_S, on_progress=listener))
    [worker] = await listener.pids()

    keeper = psutil.Process(worker).parent()
    assert keeper is not None
    keeper.kill()

    with pytest.raises(JobCrashed):
        await job
    await until(lambda: is_gone(worker))
    assert await still_works(pool)


async def test_the_temporary_files_of_an_ended_job_are_removed(pool: WorkerPool) -> None:
    listener = Listener()
    job = asyncio.create_task(pool.run(JOBS + "leave_a_file", {}, timeout_s=LIMIT_S, on_progress=listener))
    left = await listener.note()
    assert os.path.exists(left)  # noqa: ASYNC240, PTH110

    job.cancel()

    await until(lambda: not Path(left).parent.exists())


async def test_stopping_the_pool_while_a_process_starts_leaves_none() -> None:
    pool = WorkerPool(processes=1, memory_mb=256, allowed=("tests.support.",))
    job = asyncio.create_task(run(pool, "hang", timeout_s=600))
    for _ in range(3):
        await asyncio.sleep(0)

    await pool.stop()

    with pytest.raises(Draining):
        await asyncio.wait_for(job, LIMIT_S)
    await until(lambda: not pool._children)


async def test_stopping_the_pool_ends_the_job_and_tells_those_who_wait() -> None:
    pool = WorkerPool(processes=1, memory_mb=256, allowed=("tests.support.",))
    listener = Listener()
    running = asyncio.create_task(pool.run(JOBS + "hang", {}, timeout_s=LIMIT_S, on_progress=listener))
    [pid] = await listener.pids()
    waiting = asyncio.create_task(run(pool, "echo"))
    await asyncio.sleep(0)

    await pool.stop()
    answers = await asyncio.gather(running, waiting, return_exceptions=True)

    assert [type(answer) for answer in answers] == [Draining, Draining]
    assert is_gone(pid)


SERVER = """
import asyncio
from foundation.workers import WorkerPool

async def say(progress):
    print(progress.note, flush=True)

async def main():
    pool = WorkerPool(processes=1, memory_mb=256, allowed=("tests.support.",))
    await pool.run("tests.support.jobs:hang_with_children", {}, timeout_s=60, on_progress=say)

asyncio.run(main())
"""


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
async def test_a_server_that_is_killed_leaves_no_process_behind(death: signal.Signals) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=-1
    )
    assert server.stdout is not None
    pids = [int(pid) for pid in (await asyncio.wait_for(server.stdout.readline(), LIMIT_S)).split()]
    assert len(pids) == 3
    pids.append(psutil.Process(pids[0]).ppid())

    server.send_signal(death)
    await server.wait()

    await until(lambda: all(is_gone(pid) for pid in pids))
