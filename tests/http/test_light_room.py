"""How many light answers there may be at once, and what becomes of them when the process leaves or dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from foundation.errors import Draining, HeavyError, ModelUnavailable, RateLimited
from foundation.outbound import Outbound
from foundation.telemetry import Metrics
from heavy_agents.edge import Expiry, LightAnswers, Looks, Question
from heavy_agents.edge.account import Account
from heavy_agents.edge.answering import Answering
from heavy_agents.edge.calls import Calls
from heavy_agents.llm import Model
from heavy_agents.runs import Message
from tests.support.database import DatabaseServer
from tests.support.model import ModelServer, Rule, serve_model
from tests.support.sql import Sql, opened

HANGS: Rule = {"reply": {"fault": {"kind": "hang"}}}


@pytest.fixture(scope="module")
async def sql(database_server: DatabaseServer) -> AsyncIterator[Sql]:
    async with opened(database_server) as sql:
        yield sql
        assert await sql.audit() == []


@pytest.fixture
async def provider() -> AsyncIterator[ModelServer]:
    async with serve_model() as server:
        yield server


@asynccontextmanager
async def answering(
    sql: Sql, provider: ModelServer, outbound: Outbound, **limits: float
) -> AsyncIterator[LightAnswers]:
    metrics = Metrics()
    model = Model(base_url=provider.url, api_key="key", outbound=outbound, metrics=metrics)
    work = Answering(
        Account(sql.database, metrics=metrics),
        model,
        Calls(outbound),
        is_charged=True,
        default_model="scripted",
        token_limit=1_000_000,
    )
    answers = LightAnswers(work, metrics=metrics, **limits)  # type: ignore[arg-type]
    await model.start()
    await answers.start()
    try:
        yield answers
    finally:
        await answers.stop()
        await model.stop()


async def question(sql: Sql, user: UUID, agent: UUID, *, key: str | None = None) -> Question:
    look = await Looks(sql.database).look(user, agent)
    assert look.agent is not None
    return Question(user, look.agent, (Message("user", "hello"),), key)


async def test_a_user_may_have_so_many_at_once_and_another_one_more(
    sql: Sql, provider: ModelServer, outbound: Outbound
) -> None:
    one, other = await sql.user(), await sql.user()
    agent = await sql.agent(one, is_published=True)
    await provider.play(HANGS)

    async with answering(sql, provider, outbound, max_a_user=2, max_at_once=3) as answers:
        for _ in range(2):
            await answers.begin(await question(sql, one, agent))
        with pytest.raises(RateLimited, match="2 light answers at once"):
            await answers.begin(await question(sql, one, agent))
        await answers.begin(await question(sql, other, agent))
        with pytest.raises(ModelUnavailable, match="as many as it can"):
            await answers.begin(await question(sql, other, agent))

    assert await sql.ledger(other) == [("opening", 10, 0), ("hold", 0, 1), ("release", 0, -1)]


async def test_what_is_refused_takes_no_room(sql: Sql, provider: ModelServer, outbound: Outbound) -> None:
    user = await sql.user(balance=0)
    agent = await sql.agent(user)

    async with answering(sql, provider, outbound, max_a_user=1) as answers:
        for _ in range(3):
            with pytest.raises(HeavyError, match="needs 1 credits"):
                await answers.begin(await question(sql, user, agent))


async def test_an_answer_that_has_ended_leaves_its_room(
    sql: Sql, provider: ModelServer, outbound: Outbound
) -> None:
    user = await sql.user()
    agent = await sql.agent(user)

    async with answering(sql, provider, outbound, max_a_user=1, max_at_once=1) as answers:
        for _ in range(3):
            answer = await answers.begin(await question(sql, user, agent))
            await answer.ended()
            await asyncio.sleep(0)

    assert await sql.money(user) == (7, 0)


async def test_a_drain_lets_answers_come_to_their_end(
    sql: Sql, provider: ModelServer, outbound: Outbound
) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    await provider.play({"reply": {"text": "fine", "before_head_s": 0.3}})

    async with answering(sql, provider, outbound, drain_s=60.0) as answers:
        answer = await answers.begin(await question(sql, user, agent))
        await answers.drain()

        assert (await answer.ended()).data["response"] == "fine"
        with pytest.raises(Draining):
            await answers.begin(await question(sql, user, agent))

    assert await sql.money(user) == (9, 0)


async def test_what_takes_longer_than_the_drain_is_ended_and_not_charged(
    sql: Sql, provider: ModelServer, outbound: Outbound
) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    await provider.play(HANGS)

    async with answering(sql, provider, outbound, drain_s=0.5) as answers:
        answer = await answers.begin(await question(sql, user, agent))
        await provider.log.until_called(1)
        await answers.drain()

        last = await answer.ended()

    assert (last.type, last.data["code"], last.data["creditsUsed"]) == ("failed", "draining", 0)
    assert await sql.ledger(user) == [("opening", 10, 0), ("hold", 0, 1), ("release", 0, -1)]


async def test_a_drain_that_is_cut_short_still_tells_and_releases(
    sql: Sql, provider: ModelServer, outbound: Outbound
) -> None:
    user = await sql.user()
    agent = await sql.agent(user)
    await provider.play(HANGS)

    async with answering(sql, provider, outbound, drain_s=60.0) as answers:
        answer = await answers.begin(await question(sql, user, agent))
        await provider.log.until_called(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await answers.drain()

        assert (await answer.ended()).data["code"] == "draining"

    assert await sql.money(user) == (10, 0)


async def test_what_a_process_leaves_held_that_dies_is_released_by_another(sql: Sql) -> None:
    user = await sql.user(balance=10)
    await sql.hold(user, 3, "light:of-one-that-died")
    await sql.age_hold(user, "light:of-one-that-died", by_s=15 * 60 + 1)
    await sql.hold(user, 2, "light:of-one-that-lives")

    await Expiry(sql.database).release()

    assert await sql.money(user) == (10, 2)
    await sql.unhold(user, "light:of-one-that-lives")


async def test_many_are_released_in_one_look(sql: Sql) -> None:
    users = [await sql.user(balance=200) for _ in range(2)]
    for user in users:
        await asyncio.gather(*(sql.hold(user, 1, f"light:{number}") for number in range(60)))

    await Expiry(sql.database, after_s=0).release()

    assert [await sql.money(user) for user in users] == [(200, 0)] * 2
