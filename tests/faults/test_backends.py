"""Runs that another backend executes: what is seen, charged and kept, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from foundation.db import seed
from tests.support.database import MIGRATIONS, DatabaseServer, drop, fresh_database
from tests.support.pair import NEAR_SECRET, Pair, paired, words
from tests.support.process import until
from tests.support.transcript import seen_wrongly, transcript

# Any: messages of the wire.
Seen = list[dict[str, Any]]


@pytest.fixture(scope="module")
async def pair(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    near_url, far_url = [await fresh_database(database_server) for _ in range(2)]
    await seed(near_url, file=MIGRATIONS.parent / "seed.sql")
    async with paired(near_url, far_url, tmp_path_factory.mktemp("pair")) as both:
        yield both
    for url in (near_url, far_url):
        await drop(database_server, url)


@pytest.fixture(autouse=True)
async def well(pair: Pair) -> AsyncIterator[None]:
    """Whatever a test has done, no invariant is broken after it, on either side."""
    yield
    await pair.relay.restore()
    for side in (pair.near, pair.far):
        await side.until_quiet()
        assert await side.audit() == []


def text_of(name: str, count: int) -> str:
    return " ".join(f"{name}{number}" for number in range(count))


async def follow(pair: Pair, run_id: str, seen: Seen) -> None:
    """Read on from the last message seen, until the stream ends or breaks."""
    after = seen[-1]["seq"] if seen else 0
    async for message in pair.near.server.messages(run_id, after=after):
        if "seq" in message:
            seen.append(message)


async def until_told(seen: Seen, chunks: int) -> None:
    async with asyncio.timeout(30):
        while sum(message["type"] == "chunk" for message in seen) < chunks:
            await asyncio.sleep(0.01)


async def money(pair: Pair, run_id: str) -> tuple[int, int]:
    """What was charged for a run here, and there."""
    query = "select coalesce(-sum(amount), 0) from switchyard.ledger where run_id = $1"
    near: int = await pair.near.sql.fetchval(query, UUID(run_id))
    far: int = await pair.far.sql.fetchval("select count(*) from switchyard.ledger")
    return near, far


async def test_it_is_told_here_as_it_is_told_there(pair: Pair) -> None:
    await pair.model.play(words("plain", 30))
    pair.far.front.told.clear()

    run_id = await pair.begin(await pair.agent(), "say plain")
    seen = await pair.seen(run_id)

    here, there = await pair.log(pair.near, run_id), await pair.log(pair.far, await pair.far_run())
    assert here == there
    assert seen_wrongly(seen, await pair.seen(run_id)) == []
    assert transcript(seen) == seen[-1]["response"] == text_of("plain", 30)
    tokens = seen[-1]["usage"]["inputTokens"] + seen[-1]["usage"]["outputTokens"]
    assert await money(pair, run_id) == (2 + -(-100 * tokens // 1000), 0)
    assert all("@relayed" not in message for message in seen)
    check_no_secret(pair)


def check_no_secret(pair: Pair) -> None:
    """What the other has been told holds a token for it alone, and nothing that opens anything here."""
    told = bytes(pair.far.front.told).lower()
    users_token = pair.near.server.client.headers["authorization"].removeprefix("Bearer ").lower()
    assert b"authorization: bearer " in told
    assert NEAR_SECRET.encode().lower() not in told
    assert users_token.encode() not in told
    assert not any(name in told for name in (b"x-railway-secret", b"x-api-key", b"x-user-id", b"cookie:"))


async def test_a_cancel_here_is_a_cancel_there(pair: Pair) -> None:
    await pair.model.play(words("endless", 2000))
    run_id, seen = await pair.begin(await pair.agent(), "say endless"), Seen()
    following = asyncio.create_task(follow(pair, run_id, seen))
    await until_told(seen, 3)

    await pair.near.server.client.post(f"/api/runs/{run_id}/cancel")
    await following

    assert (seen[-1]["type"], seen[-1]["code"]) == ("error", "cancelled")
    row = await pair.far.sql.fetchrow(
        "select status, usage, cancel_requested_at from switchyard.runs where id = $1", await pair.far_run()
    )
    assert row is not None
    assert row["status"] == "cancelled"
    asked = await pair.near.sql.fetchval(
        "select cancel_requested_at from switchyard.runs where id = $1", UUID(run_id)
    )
    # Both databases go by one clock here; a machine that is busy takes longer than the second it should.
    assert (row["cancel_requested_at"] - asked).total_seconds() < 5
    charged, _ = await money(pair, run_id)
    assert charged == seen[-1]["creditsUsed"] > 0


async def test_a_killed_server_here_loses_and_repeats_no_word(pair: Pair) -> None:
    await pair.model.play(words("here", 80))
    run_id, seen = await pair.begin(await pair.agent(), "say here"), Seen()
    following = asyncio.create_task(follow(pair, run_id, seen))
    await until_told(seen, 10)

    await pair.near.kill()
    await following
    told = len(seen)
    await pair.near.start()
    await follow(pair, run_id, seen)

    assert 10 <= told < len(seen)
    steps = await pair.near.sql.fetch(
        "select name from switchyard.steps where run_id = $1 order by finished_at", UUID(run_id)
    )
    # The claim that has got on is no failed attempt.
    assert [row["name"] for row in steps] == ["forward", "forward.2", "answer"]
    assert seen_wrongly(seen, await pair.seen(run_id)) == []
    assert [message["type"] for message in seen if message["type"] == "retry"] == []
    assert transcript(seen) == seen[-1]["response"] == text_of("here", 80)
    assert await pair.log(pair.near, run_id) == await pair.log(pair.far, await pair.far_run())
    assert (
        await pair.far.sql.fetchval("select max(epoch) from switchyard.runs where agent_id is not null") == 1
    )
    assert len(await pair.model.calls()) == 1


async def test_a_server_here_that_leaves_ends_nothing_there(pair: Pair) -> None:
    await pair.model.play(words("leave", 80))
    run_id, seen = await pair.begin(await pair.agent(), "say leave"), Seen()
    following = asyncio.create_task(follow(pair, run_id, seen))
    await until_told(seen, 5)

    assert await pair.near.server.terminate(within_s=30) == 0
    await following
    await pair.near.start()
    await follow(pair, run_id, seen)

    assert seen_wrongly(seen, await pair.seen(run_id)) == []
    assert transcript(seen) == seen[-1]["response"] == text_of("leave", 80)
    asked = await pair.far.sql.fetchval(
        "select cancel_requested_at from switchyard.runs where id = $1", await pair.far_run()
    )
    assert asked is None
    assert len(await pair.model.calls()) == 1


async def test_a_killed_server_there_takes_back_what_it_says_again(pair: Pair) -> None:
    await pair.model.play(words("there", 60))
    run_id, seen = await pair.begin(await pair.agent(), "say there"), Seen()
    following = asyncio.create_task(follow(pair, run_id, seen))
    await until_told(seen, 10)

    await pair.far.kill()
    await pair.far.start()
    await following

    assert seen_wrongly(seen, await pair.seen(run_id)) == []
    assert [message["step"] for message in seen if message["type"] == "retry"] == ["turn-1"]
    assert transcript(seen) == seen[-1]["response"] == text_of("there", 60)
    assert await pair.log(pair.near, run_id) == await pair.log(pair.far, await pair.far_run())
    assert (await money(pair, run_id))[1] == 0


async def test_a_connection_that_breaks_loses_and_repeats_no_word(pair: Pair) -> None:
    await pair.model.play(words("cut", 80))
    run_id, seen = await pair.begin(await pair.agent(), "say cut"), Seen()
    following = asyncio.create_task(follow(pair, run_id, seen))
    for chunks, count in ((5, 700), (20, 333), (40, 1)):
        await until_told(seen, chunks)
        pair.relay.cut_after(count, toward="client")
        await pair.relay.until_cut()
        await pair.relay.restore()
    await following

    assert seen_wrongly(seen, await pair.seen(run_id)) == []
    assert transcript(seen) == seen[-1]["response"] == text_of("cut", 80)
    assert await pair.log(pair.near, run_id) == await pair.log(pair.far, await pair.far_run())
    assert len(await pair.model.calls()) == 1


async def test_an_answer_that_is_lost_begins_no_second_run(pair: Pair) -> None:
    await pair.model.play(words("once", 10))
    runs = await pair.far.sql.fetchval("select count(*) from switchyard.runs")
    resets = pair.relay.resets
    pair.relay.losing = b"POST /api/agent/execute-validated"

    run_id = await pair.begin(await pair.agent(), "say once")
    seen = await pair.seen(run_id)

    assert pair.relay.resets == resets + 1
    assert transcript(seen) == text_of("once", 10)
    assert await pair.far.sql.fetchval("select count(*) from switchyard.runs") == runs + 1


async def test_one_that_is_down_costs_nothing_and_is_left_alone(pair: Pair) -> None:
    agent = await pair.agent()
    pair.relay.cut()

    first = (await pair.seen(await pair.begin(agent, "hello")))[-1]
    accepted = pair.far.front.accepted
    run_id = await pair.begin(agent, "hello")
    second = (await pair.seen(run_id))[-1]

    for end in (first, second):
        assert (end["type"], end["code"], end["creditsUsed"]) == ("error", "backend_failed", 0)
    assert pair.far.front.accepted == accepted
    metrics = (await pair.near.server.client.get("/metrics")).text
    assert f'heavy_agent_backend_open{{backend="{pair.far.front.url}"}} 1.0' in metrics
    assert await money(pair, run_id) == (0, 0)

    await pair.relay.restore()
    await pair.model.play(words("back", 5))

    async def is_back() -> bool:
        return bool((await pair.seen(await pair.begin(agent, "say back")))[-1]["type"] == "done")

    await until(is_back, within_s=60)


@pytest.mark.parametrize("is_heavy", [True, False])
async def test_only_heavy_agents_and_allowed_backends_are_forwarded(pair: Pair, *, is_heavy: bool) -> None:
    """A heavy one whose backend is not allowed, and a light one whose backend is."""
    await pair.model.play(words("local", 5))
    accepted = pair.far.front.accepted
    url = pair.far.front.url.replace("https://", "https://evil.") if is_heavy else pair.far.front.url

    run_id = await pair.begin(await pair.agent(url=url, is_heavy=is_heavy), "say local")
    seen = await pair.seen(run_id)

    assert transcript(seen) == text_of("local", 5)
    assert pair.far.front.accepted == accepted
