"""Requests counted in Redis: together while it answers; alone, and still counted, while it does not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from foundation.errors import HeavyError
from foundation.limits import LimitVerdict, RequestLimit, SharedCounts
from foundation.telemetry import Metrics
from tests.support.redis import PASSWORD, RedisServer, running_redis
from tests.support.server import until

REST_S = 0.02


@pytest.fixture(scope="module")
async def redis() -> AsyncIterator[RedisServer]:
    """One for all tests of this file; their keys keep them apart, and each leaves it running."""
    async with running_redis() as server:
        yield server


@pytest.fixture
def key() -> str:
    return f"user:{uuid4()}"


class Patient(SharedCounts):
    """A machine that is busy with other things is not taken for a Redis that hangs."""

    patience_s = 20.0


class Brisk(SharedCounts):
    patience_s = 1.0


class Replica:
    """One process's limit of callers, with what it says about itself."""

    def __init__(self, url: str, per_minute: int, *, kind: type[SharedCounts] = Patient) -> None:
        self.metrics = Metrics()
        self.shared = kind(url, metrics=self.metrics, rest_s=REST_S)
        self.limit = RequestLimit(per_minute, shared=self.shared)

    async def allowed(self, key: str, times: int) -> int:
        """How many of `times` checks, one after another, were fine."""
        return sum([(await self.limit.check(key)).allowed for _ in range(times)])

    async def is_alone(self) -> bool:
        try:
            await self.shared.check()
        except HeavyError:
            return True
        return False

    async def is_back(self) -> bool:
        return not await self.is_alone()

    @property
    def gauge(self) -> float | None:
        return self.metrics.registry.get_sample_value("heavy_agent_limits_alone")


@asynccontextmanager
async def replica(url: str, per_minute: int, *, kind: type[SharedCounts] = Patient) -> AsyncIterator[Replica]:
    one = Replica(url, per_minute, kind=kind)
    await one.limit.start()
    try:
        yield one
    finally:
        await one.limit.stop()


def name_of(key: str, per_minute: int) -> str:
    """The key in Redis."""
    return f"switchyard:LIMITER/{key}/{per_minute}/1/minute"


@pytest.mark.parametrize(("quota", "asked"), [(1, 20), (50, 200), (100, 60)])
async def test_two_processes_allow_exactly_the_quota(
    redis: RedisServer, key: str, quota: int, asked: int
) -> None:
    async with replica(redis.url, quota) as one, replica(redis.url, quota) as other:
        verdicts = await asyncio.gather(
            *(each.limit.check(key) for _ in range(asked // 2) for each in (one, other))
        )

        assert sum(verdict.allowed for verdict in verdicts) == min(quota, asked)
        # Each is told a number of its own: no two share the last one.
        left = sorted((verdict.remaining for verdict in verdicts if verdict.allowed), reverse=True)
        assert left == list(range(quota - 1, quota - 1 - len(left), -1))
        assert (one.gauge, other.gauge) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc")), max_size=30), st.integers(1, 6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_replicas_with_one_redis_count_as_one_process_does(
    redis: RedisServer, asked: list[tuple[int, str]], quota: int
) -> None:
    example = uuid4()
    async with (
        replica(redis.url, quota) as first,
        replica(redis.url, quota) as second,
        replica(redis.url, quota) as third,
    ):
        replicas, single = (first, second, third), RequestLimit(quota)

        for number, caller in asked:
            together = await replicas[number].limit.check(f"{example}/{caller}")
            alone = await single.check(caller)

            assert (together.allowed, together.remaining) == (alone.allowed, alone.remaining)


async def test_what_is_left_of_a_window_is_what_redis_says(redis: RedisServer, key: str) -> None:
    async with replica(redis.url, 2) as one, replica(redis.url, 2) as other:
        first = await one.limit.check(key)
        await redis.client.pexpire(name_of(key, 2), 17_400)

        second = await other.limit.check(key)
        refused = await other.limit.check(key)

    assert first == LimitVerdict(allowed=True, quota=2, window_s=60, remaining=1, reset_s=60)
    # Rounded up, so that nobody comes back too early; some of it passes meanwhile.
    assert second.reset_s in {17, 18}
    assert not refused.allowed
    assert refused.headers()["RateLimit"] in {'"requests";r=0;t=17', '"requests";r=0;t=18'}


async def test_a_window_ends(redis: RedisServer, key: str) -> None:
    async with replica(redis.url, 1) as one, replica(redis.url, 1) as other:
        assert await one.allowed(key, 2) == 1
        await redis.client.pexpire(name_of(key, 1), 1)

        async def is_over() -> bool:
            return not await redis.client.exists(name_of(key, 1))

        await until(is_over)
        again = await one.limit.check(key)

        assert (again.allowed, again.reset_s) == (True, 60)
        assert not (await other.limit.check(key)).allowed


async def test_a_count_without_an_end_gets_one(redis: RedisServer, key: str) -> None:
    async with replica(redis.url, 1) as one, replica(redis.url, 1) as other:
        await one.limit.check(key)
        await redis.client.persist(name_of(key, 1))

        assert (await other.limit.check(key)).reset_s == 60
        assert 0 < await redis.client.ttl(name_of(key, 1)) <= 60


async def test_whoever_joins_a_known_window_asks_once(redis: RedisServer, key: str) -> None:
    async with replica(redis.url, 100) as one:
        await one.allowed(key, 2)
        before = (await redis.client.info("commandstats"))["cmdstat_evalsha"]["calls"]
        asked_before = (await redis.client.info("stats"))["total_commands_processed"]

        await one.allowed(key, 10)

        after = (await redis.client.info("commandstats"))["cmdstat_evalsha"]["calls"]
        asked_after = (await redis.client.info("stats"))["total_commands_processed"]
    assert after - before == 10
    # A script counts the one command it runs too; the two questions of this test are the rest.
    assert asked_after - asked_before == 20 + 2


async def test_redis_killed_is_one_line_and_requests_are_counted_on(redis: RedisServer, key: str) -> None:
    with capture_logs() as logs:
        async with replica(redis.url, 10) as one:
            assert await one.allowed(key, 6) == 6
            redis.kill()

            # From where it stood: going away gives nobody a second quota.
            assert await one.allowed(key, 20) == 4
            assert one.gauge == 1
            assert await one.is_alone()

            await redis.start()
            await until(one.is_back)
            assert one.gauge == 0
            assert (await one.limit.check(key)).remaining == 9

    told = [line for line in logs if line["event"].startswith("limits_")]
    assert [line["event"] for line in told] == ["limits_counted_alone", "limits_counted_together"]
    assert PASSWORD not in str(logs)


@pytest.fixture
def held(redis: RedisServer) -> Iterator[RedisServer]:
    yield redis
    redis.release()


async def test_a_redis_that_hangs_is_waited_for_once(held: RedisServer, key: str) -> None:
    with capture_logs() as logs:
        async with replica(held.url, 30, kind=Brisk) as one:
            await one.limit.check(key)
            held.hold()

            crowd = await asyncio.gather(*(one.limit.check(key) for _ in range(20)))
            lines_then = len(logs)
            # None of these asks Redis: a coroutine that does cannot be done at once.
            for _ in range(20):
                check = one.limit.check(key)
                with pytest.raises(StopIteration):
                    check.send(None)

            assert all(verdict.allowed for verdict in crowd)
            assert not (await one.limit.check(key)).allowed
            assert lines_then == len(logs) == 1
            held.release()
            await until(one.is_back)


async def test_a_trial_under_way_when_the_server_stops_leaves_no_connection(key: str) -> None:
    came, left = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.release()
        await reader.read()
        left.release()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(20), replica(url, 3, kind=Brisk) as one:
            # The trial of the start, which has failed, and the next one.
            await came.acquire()
            await left.acquire()
            await came.acquire()
            assert await one.is_alone()

        async with asyncio.timeout(5):
            await left.acquire()


async def test_a_redis_that_is_away_at_the_start_does_not_keep_a_server_from_starting(
    redis: RedisServer, key: str
) -> None:
    redis.kill()
    async with replica(redis.url, 2) as one:
        assert one.gauge == 1
        assert await one.allowed(key, 5) == 2

        await redis.start()
        await until(one.is_back)
        assert await one.allowed(key, 5) == 2


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"+OK\r\n",
        b":-7\r\n",
        b"$-1\r\n",
        b"*1000000000\r\n",
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"\xff\x00" * 5_000,
    ],
    ids=["goodbye", "http", "ok", "below nothing", "nothing", "endless", "full", "noise"],
)
async def test_nonsense_is_no_answer(key: str, words: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The same to every command; each begins with how many words it has."""
        while words and (heard := await reader.read(65_536)):
            writer.write(words * len(re.findall(rb"^\*\d+\r$", heard, re.MULTILINE)))
        writer.close()

    async with (
        await asyncio.start_server(talk, "127.0.0.1", 0) as server,
        replica(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", 3, kind=Brisk) as one,
    ):
        assert await one.is_alone()
        assert await one.allowed(key, 10) == 3


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/not-a-number", "redis://127.0.0.1:1?nonsense=1"])
async def test_an_address_the_client_cannot_use_is_counted_alone(url: str, key: str) -> None:
    async with replica(url, 3) as one:
        assert await one.is_alone()
        assert await one.allowed(key, 10) == 3


async def test_a_wrong_password_is_told_without_it(redis: RedisServer, key: str) -> None:
    wrong = "canary-of-a-wrong-password"
    with capture_logs() as logs:
        async with replica(redis.url.replace(PASSWORD, wrong), 3) as one:
            assert await one.allowed(key, 10) == 3

    assert [line["event"] for line in logs] == ["limits_counted_alone"]
    assert wrong not in str(logs)


async def test_a_key_of_another_kind_is_counted_alone(redis: RedisServer, key: str) -> None:
    await redis.client.set(name_of(key, 3), "not a number")
    async with replica(redis.url, 3) as one:
        assert await one.allowed(key, 10) == 3


async def test_a_server_that_stops_right_after_nonsense_leaves_no_connection(
    redis: RedisServer, key: str
) -> None:
    await redis.client.set(name_of(key, 3), "not a number")
    async with replica(redis.url, 3) as one:
        # What nobody holds is closed by newer Pythons on their own.
        held = one.shared._link
        assert await one.allowed(key, 3) == 3

    async def are_gone() -> bool:
        return await redis.connections() == 0

    await until(are_gone)
    assert held is not None


# The client leaves a connection that is broken off while it opens to the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_check_that_is_broken_off_leaves_no_answer_for_the_next(redis: RedisServer, key: str) -> None:
    async with replica(redis.url, 1000) as one:
        for number in range(200):
            left = asyncio.create_task(one.limit.check("broken off"))
            for _ in range(number % 12):
                await asyncio.sleep(0)
            left.cancel()
            await asyncio.wait([left])

            assert (await one.limit.check(f"{key}/{number}")).remaining == 999
        assert one.gauge == 0


async def test_no_connection_is_left_behind(redis: RedisServer, key: str) -> None:
    async with replica(redis.url, 1000) as one:
        await asyncio.gather(*(one.limit.check(key) for _ in range(50)))
        assert await redis.connections() > 0

    async def are_gone() -> bool:
        return await redis.connections() == 0

    await until(are_gone)
    # Whoever is late is still counted.
    assert (await one.limit.check(key)).allowed
