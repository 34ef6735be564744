"""One caller's limit over two servers with one Redis, by HTTP and on sockets, whatever becomes of Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import pytest

from foundation.limits import SharedCounts
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.redis import RedisServer, running_redis
from tests.support.server import METRICS_TOKEN, TestServer, assert_problem, running_server, until
from tests.support.sockets import opened

QUOTA = 12
ASK = "/api/credits"


@dataclass(frozen=True)
class Caller:
    """Somebody with a client at each server."""

    token: str
    clients: tuple[httpx2.AsyncClient, httpx2.AsyncClient]

    async def statuses(self, times: int) -> list[int]:
        """Of `times` requests, at one server and the other in turns."""
        return [(await self.clients[turn % 2].get(ASK)).status_code for turn in range(times)]


@dataclass(frozen=True)
class Fleet:
    """Two servers on one database, in one project, and the Redis they count in."""

    servers: tuple[TestServer, TestServer]
    redis: RedisServer

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[Caller]:
        first, second = self.servers
        async with (
            first.person() as person,
            second.client(authorization=f"Bearer {person.token}") as elsewhere,
        ):
            yield Caller(person.token, (person.client, elsewhere))

    async def are_together(self) -> bool:
        return all([(await self.remark(server)) == "ok" for server in self.servers])

    async def misses_redis(self) -> bool:
        """Readiness keeps what it has found for a second."""
        remark = await self.remark(self.servers[0])
        return remark == "Redis does not answer; each process counts requests by itself"

    async def remark(self, server: TestServer) -> str:
        """What readiness says of Redis; it is ready whatever that is."""
        async with server.client() as probe:
            answer = await probe.get("/health/readiness")
        assert (answer.status_code, answer.json()["status"]) == (200, "ready")
        return str(answer.json()["checks"]["redis"])


@pytest.fixture(scope="module")
async def fleet(database_server: DatabaseServer) -> AsyncIterator[Fleet]:
    url = await fresh_database(database_server)
    with pytest.MonkeyPatch.context() as patch:
        # A machine that is busy with other things is not taken for a Redis that hangs.
        patch.setattr(SharedCounts, "patience_s", 20.0)
        async with fleet_on(url) as running:
            yield running
    await drop(database_server, url)


@asynccontextmanager
async def fleet_on(url: str) -> AsyncIterator[Fleet]:
    async with (
        running_redis() as redis,
        running_server(url, requests_per_minute=QUOTA, redis_url=redis.url) as first,
        running_server(
            url,
            requests_per_minute=QUOTA,
            redis_url=redis.url,
            supabase_url=first.forge.issuer.removesuffix("/auth/v1"),
        ) as second,
    ):
        yield Fleet((first, second), redis)


async def test_a_caller_has_one_limit_at_all_servers(fleet: Fleet) -> None:
    async with fleet.caller() as caller, fleet.caller() as calm:
        assert await caller.statuses(QUOTA + 4) == [200] * QUOTA + [429] * 4

        refusals = [await client.get(ASK) for client in caller.clients]
        for refusal in refusals:
            problem = assert_problem(refusal, 429, "rate_limited")
            assert 1 <= int(refusal.headers["retry-after"]) == problem["retryAfter"] <= 60
            assert refusal.headers["ratelimit"].startswith('"requests";r=0;t=')
            assert refusal.headers["ratelimit-policy"] == f'"requests";q={QUOTA};w=60'
        assert await calm.statuses(2) == [200, 200]


async def test_a_socket_at_one_server_is_no_way_around_the_limit_at_another(fleet: Fleet) -> None:
    async with (
        fleet.caller() as caller,
        opened(fleet.servers[1].url, query=f"?token={caller.token}") as client,
    ):
        await client.hear("connected")
        for _ in range(4):
            await client.say("ping")
            await client.hear("pong")

        answer = await caller.clients[0].get(ASK)

        # The opening, four messages and this request.
        assert answer.headers["ratelimit"].startswith(f'"requests";r={QUOTA - 6};t=')


async def test_a_socket_ends_after_twenty_refusals_wherever_the_limit_was_used_up(fleet: Fleet) -> None:
    async with (
        fleet.caller() as caller,
        opened(fleet.servers[1].url, query=f"?token={caller.token}") as client,
    ):
        await client.hear("connected")
        await caller.clients[0].get(ASK)
        for _ in range(QUOTA):
            await caller.clients[0].get(ASK)
        for _ in range(20):
            await client.say("ping")
            assert (await client.hear("error"))["code"] == "rate_limited"

        await client.say("ping")

        assert await client.closed() == 4429


async def test_who_proves_nothing_is_counted_by_each_server_and_not_in_redis(fleet: Fleet) -> None:
    async with fleet.servers[0].client() as one, fleet.servers[1].client() as other:
        wrong = {"authorization": "Bearer wrong"}
        refused = [(await one.get(ASK, headers=wrong)).status_code for _ in range(QUOTA + 1)]
        elsewhere = await other.get(ASK, headers=wrong)

    assert refused == [401] * QUOTA + [429]
    assert elsewhere.headers["ratelimit"].startswith(f'"requests";r={QUOTA - 1};')
    assert [name async for name in fleet.redis.client.scan_iter("*address*")] == []


async def test_without_redis_requests_are_answered_and_limited_and_it_comes_back_by_itself(
    fleet: Fleet,
) -> None:
    async with fleet.caller() as caller:
        assert await caller.statuses(6) == [200] * 6
        fleet.redis.kill()

        # Each server goes on from what it last knew: one from five, the other from six.
        assert await caller.statuses(40) == [200] * 13 + [429] * 27
        await until(fleet.misses_redis, within_s=10)
        metrics = await caller.clients[0].get(
            "/metrics", headers={"authorization": f"Bearer {METRICS_TOKEN}"}
        )
        assert "heavy_agent_limits_alone 1.0" in metrics.text

        await fleet.redis.start()
        await until(fleet.are_together, within_s=10)
        assert await caller.statuses(QUOTA + 2) == [200] * QUOTA + [429] * 2
