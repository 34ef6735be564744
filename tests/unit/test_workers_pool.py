"""The process pool with well-behaved jobs: results, progress, order, reuse, isolation."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from foundation.errors import Draining, Json
from foundation.workers import JobFailed, PoolBusy, Progress, TargetNotAllowed, WorkerPool
from foundation.workers.environment import child_environment

JOBS = "tests.support.jobs:"
LIMIT_S = 20.0


def make_pool(*, processes: int = 1, recycle_after: int = 200, queue_limit: int = 100) -> WorkerPool:
    return WorkerPool(
        processes=processes,
        memory_mb=256,
        recycle_after=recycle_after,
        allowed=("tests.support.",),
        queue_limit=queue_limit,
    )


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    pool = make_pool()
    await pool.start()
    yield pool
    await pool.drain()
    await pool.stop()


async def run(pool: WorkerPool, job: str, **arguments: Json) -> Json:
    return await pool.run(JOBS + job, dict(arguments), timeout_s=LIMIT_S)


async def pid_of(pool: WorkerPool) -> Json:
    answer = await run(pool, "where_am_i")
    assert isinstance(answer, dict)
    return answer["pid"]


async def test_a_job_returns_what_its_function_returns(pool: WorkerPool) -> None:
    arguments: dict[str, Json] = {"text": "naïve ☃", "numbers": [1, 2.5, None, True], "deep": {"er": []}}

    assert await run(pool, "echo", **arguments) == arguments


async def test_progress_arrives_in_order_before_the_result(pool: WorkerPool) -> None:
    heard: list[Json] = []

    async def listen(progress: Progress) -> None:
        heard.append(progress.note)

    result = await pool.run(JOBS + "report_steps", {"steps": 5}, timeout_s=LIMIT_S, on_progress=listen)
    heard.append(result)

    assert heard == ["step 1", "step 2", "step 3", "step 4", "step 5", {"steps": 5}]


async def test_a_job_without_a_listener_may_report(pool: WorkerPool) -> None:
    assert await run(pool, "report_steps", steps=1_000) == {"steps": 1_000}


async def test_a_job_that_raises_is_told_by_type_and_message(pool: WorkerPool) -> None:
    with pytest.raises(JobFailed) as caught:
        await run(pool, "fail", text="no such series")

    assert (caught.value.error_type, caught.value.message) == ("LookupError", "no such series")
    assert "jobs.py" in caught.value.trace


async def test_a_function_that_does_not_exist_is_a_failed_job(pool: WorkerPool) -> None:
    with pytest.raises(JobFailed) as caught:
        await run(pool, "no_such_function")

    assert caught.value.error_type == "AttributeError"


async def test_a_result_that_is_not_json_is_a_failed_job(pool: WorkerPool) -> None:
    with pytest.raises(JobFailed, match="not JSON serializable"):
        await run(pool, "return_no_json")


async def test_a_result_above_its_limit_is_a_failed_job(pool: WorkerPool) -> None:
    with pytest.raises(JobFailed, match="more than the 33554432 taken"):
        await run(pool, "return_much", bytes=32 * 1024 * 1024)


async def test_a_result_below_its_limit_arrives_whole(pool: WorkerPool) -> None:
    result = await run(pool, "return_much", bytes=20 * 1024 * 1024)

    assert isinstance(result, str)
    assert len(result) == 20 * 1024 * 1024


async def test_a_process_is_kept_warm_even_after_a_failed_job(pool: WorkerPool) -> None:
    before = await pid_of(pool)
    with pytest.raises(JobFailed):
        await run(pool, "fail", text="no")

    assert await pid_of(pool) == before


async def test_a_warmed_process_does_the_next_job(pool: WorkerPool) -> None:
    await pool.warm(JOBS + "echo")

    assert len(pool._children) == 1
    await pid_of(pool)
    assert len(pool._children) == 1


async def test_no_process_is_started_before_the_first_job(pool: WorkerPool) -> None:
    assert not pool._children


async def test_a_process_is_replaced_after_its_share_of_jobs() -> None:
    pool = make_pool(recycle_after=2)

    pids = [await pid_of(pool) for _ in range(4)]
    await pool.stop()

    assert pids[0] == pids[1] != pids[2] == pids[3]


async def test_what_a_job_prints_does_not_reach_the_protocol(pool: WorkerPool) -> None:
    await run(pool, "say", text="this is no frame")

    assert await run(pool, "echo", still="well") == {"still": "well"}


async def test_jobs_wait_their_turn_first_come_first_served(pool: WorkerPool) -> None:
    finished: list[int] = []

    async def job(number: int) -> None:
        await run(pool, "echo", number=number)
        finished.append(number)

    await asyncio.gather(*(job(number) for number in range(8)))

    assert finished == list(range(8))


async def test_two_processes_run_two_jobs_at_once() -> None:
    pool = make_pool(processes=2)
    both = asyncio.Barrier(2)

    async def meet(_: Progress) -> None:
        await both.wait()

    async with asyncio.timeout(LIMIT_S):
        jobs = (
            pool.run(JOBS + "report_steps", {"steps": 1}, timeout_s=LIMIT_S, on_progress=meet)
            for _ in range(2)
        )
        await asyncio.gather(*jobs)
    await pool.stop()


async def test_a_job_that_waits_can_be_cancelled_without_harm(pool: WorkerPool) -> None:
    first = asyncio.create_task(run(pool, "report_steps", steps=500))
    waiting = asyncio.create_task(run(pool, "echo", who="leaves"))
    third = asyncio.create_task(run(pool, "echo", who="stays"))
    await asyncio.sleep(0)

    waiting.cancel()

    assert await first == {"steps": 500}
    assert await third == {"who": "stays"}
    assert waiting.cancelled()


async def test_a_full_queue_refuses_at_once() -> None:
    pool = make_pool(queue_limit=1)
    jobs = [asyncio.create_task(run(pool, "echo", number=number)) for number in range(3)]

    answers = await asyncio.gather(*jobs, return_exceptions=True)
    await pool.stop()

    assert answers[:2] == [{"number": 0}, {"number": 1}]
    assert isinstance(answers[2], PoolBusy)


async def test_only_allowed_prefixes_run(pool: WorkerPool) -> None:
    for target in ("os:getcwd", "tests.supporting:echo", "tests.support.jobs", "tests.support.jobs:a:b"):
        with pytest.raises(TargetNotAllowed):
            await pool.run(target, {}, timeout_s=LIMIT_S)


async def test_a_stopped_pool_takes_no_job() -> None:
    pool = make_pool()
    await run(pool, "echo")
    await pool.stop()

    with pytest.raises(Draining):
        await run(pool, "echo")


async def test_a_job_sees_no_secret_and_one_thread(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:canary@h/d")
    monkeypatch.setenv("PYTHONSTARTUP", "/canary")

    answer = await run(pool, "where_am_i")

    assert isinstance(answer, dict)
    assert "canary" not in str(answer["environment"])
    assert isinstance(answer["environment"], dict)
    assert answer["environment"]["OMP_NUM_THREADS"] == "1"
    assert answer["stdin"] == ""
    assert answer["pid"] != os.getpid()


def test_the_environment_of_a_child_is_a_short_list() -> None:
    ours = {"PATH": "/bin", "TZ": "UTC", "OPENAI_API_KEY": "canary", "LD_PRELOAD": "/canary.so"}

    theirs = child_environment(ours)

    assert theirs["PATH"] == "/bin"
    assert theirs["TZ"] == "UTC"
    assert "canary" not in str(theirs)
