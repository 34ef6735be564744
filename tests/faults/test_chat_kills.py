"""Servers that die or go in the middle of chat runs: what was bought, shown and charged comes out once.

Kills at every age of a run are in `tests/hardening`; here is what a server says of the calls that were lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from heavy_agents.credits import Usage
from tests.support.audit import Begun, audit, begun_calls, counted_lost
from tests.support.bill import billed_wrongly, journaled
from tests.support.process import ServerProcess
from tests.support.stage import ANSWER, OPENING, PAGES, PRICE, Stage, Talk, open_stage
from tests.support.transcript import seen_wrongly, transcript


@pytest.fixture
async def stage(demo_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(demo_url, tmp_path) as opened:
        yield opened


async def begin(stage: Stage, server: ServerProcess, talks: list[Talk], ages_s: list[float]) -> None:
    """Submit the talks one after the other, so that at the return each has about its age."""
    oldest_s, began_s = max(ages_s), asyncio.get_running_loop().time()
    for talk, age_s in sorted(zip(talks, ages_s, strict=True), key=lambda pair: -pair[1]):
        await asyncio.sleep(oldest_s - age_s - (asyncio.get_running_loop().time() - began_s))
        talk.run_id = await stage.submit(server, talk.name)
    await asyncio.sleep(oldest_s - (asyncio.get_running_loop().time() - began_s))


async def check_seen_once(talk: Talk, server: ServerProcess) -> None:
    """One ending, no gap, nothing seen that the log does not say, one answer."""
    again = [message async for message in server.messages(talk.run_id)]
    assert seen_wrongly(talk.seen, again) == []
    assert transcript(talk.seen) == OPENING + ANSWER
    assert talk.seen[-1]["response"] == ANSWER


async def check_charged_once(talk: Talk, server: ServerProcess) -> None:
    """One hold, one charge, and that the price of what the journal says was bought."""
    receipt = await server.get(f"/api/runs/{talk.run_id}/receipt")
    used = journaled(receipt)
    assert billed_wrongly(receipt, price=PRICE) == []
    assert Usage.from_json(talk.seen[-1]["usage"]) == used
    assert (used.model_calls, used.tool_calls) == (2, 2)


async def check_no_tool_repeated(talk: Talk, stage: Stage) -> None:
    """Whatever was asked of a page was asked before the journal had its answer."""
    rows = await stage.sql.fetch(
        "select result, finished_at from switchyard.steps where run_id = $1 and name like '%http_fetch'",
        UUID(talk.run_id),
    )
    assert len(rows) == len(PAGES)
    for row in rows:
        page = next(page for page in PAGES if f"/{talk.name}/{page}" in str(row["result"]))
        began = stage.pages.began[f"/{talk.name}/{page}"]
        assert began != []
        assert [at for at in began if at > row["finished_at"]] == []


async def check_all(stage: Stage, talks: list[Talk], server: ServerProcess) -> None:
    for talk in talks:
        await check_no_tool_repeated(talk, stage)
        await check_seen_once(talk, server)
        await check_charged_once(talk, server)


async def lost_calls(server: ServerProcess) -> int:
    return counted_lost((await server.client.get("/metrics")).text)


def lost_steps(begun: list[Begun]) -> set[tuple[str, str]]:
    """Steps whose call was cut off; the journal names another call, or none."""
    return {(call.run_id, call.step) for call in begun if not call.is_journaled}


async def follow_soon(talk: Talk, server: ServerProcess) -> None:
    async with asyncio.timeout(30):
        while not talk.run_id:
            await asyncio.sleep(0.01)
    await talk.follow(server)


async def until_in_answer(talk: Talk, *, retries: int = 0) -> None:
    """Wait until the newest that was seen is text of the answer, after so many takings-back."""
    async with asyncio.timeout(30):
        while not talk.seen or not (
            talk.seen[-1]["type"] == "chunk"
            and talk.seen[-1]["step"] == "turn-2"
            and len(talk.retried) == retries
        ):
            await asyncio.sleep(0.01)


async def test_runs_of_a_server_told_to_go_are_taken_up_elsewhere_and_lose_no_attempt(stage: Stage) -> None:
    talks = [Talk(f"t{number}t") for number in range(3)]
    async with stage.server() as staying, stage.server() as leaving:
        await stage.prepare(talks)
        followers = [asyncio.create_task(follow_soon(talk, leaving)) for talk in talks]
        # About in the answer, while a tool runs, and before the first token.
        with staying.held():
            await begin(stage, leaving, talks, [2.2, 1.2, 0.1])
            await until_in_answer(talks[0])

        assert await leaving.terminate(within_s=15) == 0
        await asyncio.gather(*followers)
        await asyncio.gather(*(talk.follow(staying) for talk in talks))

        await check_all(stage, talks, staying)
        assert talks[0].retried == ["turn-2"]
        rows = await stage.sql.fetch(
            "select epoch, claims from switchyard.runs where id = any($1)",
            [UUID(talk.run_id) for talk in talks],
        )
        assert [(row["epoch"], row["claims"]) for row in rows] == [(2, 1)] * len(talks)
        assert await lost_calls(staying) == len(lost_steps(await begun_calls(stage.sql)))
        assert await audit(stage.sql, await stage.calls()) == []


async def test_runs_that_lose_two_servers_one_after_the_other_come_out_once(stage: Stage) -> None:
    talks = [Talk("x0x"), Talk("x1x")]
    async with stage.server() as second:
        async with stage.server() as first:
            await stage.prepare(talks)
            followers = [asyncio.create_task(follow_soon(talk, first)) for talk in talks]
            with second.held():
                await begin(stage, first, talks, [2.2, 0.8])
                await until_in_answer(talks[0])
            await first.kill()
            await asyncio.gather(*followers)
        followers = [asyncio.create_task(talk.follow(second)) for talk in talks]
        await until_in_answer(talks[0], retries=1)
        await second.kill()
        await asyncio.gather(*followers)

    async with stage.server() as third:
        await asyncio.gather(*(talk.follow(third) for talk in talks))

        await check_all(stage, talks, third)
        assert talks[0].retried == ["turn-2", "turn-2"]
        under_way = [call for call in await begun_calls(stage.sql) if call.epoch == 2]
        assert await lost_calls(third) == len(lost_steps(under_way)) > 0
        assert await audit(stage.sql, await stage.calls()) == []
