"""Servers that die in the middle of chat runs: what was bought, shown and charged comes out once.

One kill hits a batch of runs, each at an age of its own, so that the points are spread over the whole life of
a run: before the first token, in the text, while tools run, between the steps, in the answer.
`SWITCHYARD_KILLS` is how many runs are hit, `SWITCHYARD_SEED` where their ages come from.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from heavy_agents.credits import Usage, cost, parse_price
from tests.support.audit import Begun, audit, begun_calls, counted_lost
from tests.support.process import ServerProcess
from tests.support.stage import ANSWER, OPENING, PAGES, PRICE, Message, Stage, Talk, open_stage
from tests.support.tables import Connection

POINTS = int(os.environ.get("SWITCHYARD_KILLS", "8"))
SEED = int(os.environ.get("SWITCHYARD_SEED", "1122"))
BATCH = 8
# About as long as an undisturbed run takes; an age beyond it would hit nothing.
LIFE_S = 3.4


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


async def phase(sql: Connection, run_id: str) -> str:
    """Where a run stands, by what of it is durable."""
    run = await sql.fetchrow(
        "select r.status, array(select name from switchyard.steps where run_id = r.id) as steps, array("
        "  select e.data ->> 'step' from switchyard.events e where e.run_id = r.id and e.type = 'chunk'"
        ") as chunks from switchyard.runs r where r.id = $1",
        UUID(run_id),
    )
    assert run is not None
    steps, chunks = set(run["steps"]), set(run["chunks"])
    found = {
        "over": run["status"] not in {"queued", "running"},
        "after the answer": "turn-2" in steps,
        "in the answer": "turn-2" in chunks,
        "between the steps": len(steps) == 3,
        "while tools run": "turn-1" in steps,
        "in the first turn": "turn-1" in chunks,
    }
    return next((name for name, holds in found.items() if holds), "before the first token")


def transcript(seen: list[Message]) -> str:
    """What a client's screen shows: the chunks without those that a `retry` took back."""
    shown: list[Message] = []
    for message in seen:
        if message["type"] == "chunk":
            shown.append(message)
        if message["type"] == "retry":
            shown = [
                chunk
                for chunk in shown
                if chunk["step"] != message["step"] or chunk["seq"] <= message["discardAfter"]
            ]
    return "".join(chunk["content"] for chunk in shown)


async def check_seen_once(talk: Talk, server: ServerProcess) -> None:
    """One ending, no gap, nothing seen that the log does not say, one answer."""
    seen = talk.seen
    again = [message async for message in server.messages(talk.run_id)]
    assert [message["seq"] for message in seen] == list(range(1, len(seen) + 1))
    assert [message["type"] for message in seen if message["type"] in {"done", "error"}] == ["done"]
    assert seen[-1]["type"] == "done"
    assert [_text(message) for message in seen] == [_text(message) for message in again]
    assert transcript(seen) == OPENING + ANSWER
    assert seen[-1]["response"] == ANSWER


def _text(message: Message) -> tuple[Any, ...]:
    """What a person reads of it. Any: as the wire has it."""
    return tuple(message.get(name) for name in ("seq", "type", "step", "content", "result", "discardAfter"))


async def check_charged_once(talk: Talk, server: ServerProcess, sql: Connection) -> None:
    """One hold, one charge, and that the price of what the journal says was bought."""
    receipt = await server.get(f"/api/runs/{talk.run_id}/receipt")
    journaled = sum((Usage.from_json(step["usage"]) for step in receipt["steps"]), Usage())
    assert [entry["kind"] for entry in receipt["entries"]] == ["hold", "settle"]
    assert Usage.from_json(talk.seen[-1]["usage"]) == journaled
    assert (journaled.model_calls, journaled.tool_calls) == (2, 2)
    assert receipt["charged"] == cost(parse_price(PRICE), journaled, elapsed_ms=0)
    settled = await sql.fetchval(
        "select -sum(amount) from switchyard.ledger where run_id = $1", UUID(talk.run_id)
    )
    assert settled == receipt["charged"]


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
        await check_charged_once(talk, server, stage.sql)


async def lost_calls(server: ServerProcess) -> int:
    return counted_lost((await server.client.get("/metrics")).text)


def lost_steps(begun: list[Begun]) -> set[tuple[str, str]]:
    """Steps whose call was cut off; the journal names another call, or none."""
    return {(call.run_id, call.step) for call in begun if not call.is_journaled}


def ages_of(count: int, dice: random.Random) -> list[float]:
    """One age in each of `count` equal parts of a run's life."""
    return [LIFE_S * (part + dice.random()) / count for part in range(count)]


async def hit(stage: Stage, talks: list[Talk], ages_s: list[float], *, survivor: ServerProcess) -> None:
    """Kill a server that executes `talks`, and see them through on the other."""
    async with stage.server() as victim:
        await stage.prepare(talks)
        beginning = asyncio.create_task(begin(stage, victim, talks, ages_s))
        followers = [asyncio.create_task(follow_soon(talk, victim)) for talk in talks]
        await beginning
        await victim.kill()
        for talk in talks:
            talk.phase = await phase(stage.sql, talk.run_id)
        await asyncio.gather(*followers)
    await asyncio.gather(*(talk.follow(survivor) for talk in talks))


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


async def test_runs_hit_by_a_kill_at_any_point_of_their_life_come_out_once(stage: Stage) -> None:
    dice, talks = random.Random(SEED), list[Talk]()  # noqa: S311 - no secret
    async with stage.server() as survivor:
        for first in range(0, POINTS, BATCH):
            batch = [Talk(f"q{number}q") for number in range(first, min(first + BATCH, POINTS))]
            await hit(stage, batch, ages_of(len(batch), dice), survivor=survivor)
            await check_all(stage, batch, survivor)
            talks += batch

        phases = Counter(talk.phase for talk in talks)
        print(f"seed={SEED} points={POINTS} phases={dict(phases)}")  # noqa: T201 - to repeat a failure
        hits = [talk for talk in talks if talk.phase != "over"]
        assert len(hits) >= POINTS // 2
        assert len({talk.phase for talk in hits}) >= min(3, POINTS)
        begun = await begun_calls(stage.sql)
        assert lost_steps(begun) != set()
        assert await lost_calls(survivor) == len(lost_steps(begun))
        assert await audit(stage.sql, await stage.calls()) == []


async def test_runs_of_a_server_told_to_go_are_taken_up_elsewhere_and_lose_no_attempt(stage: Stage) -> None:
    talks = [Talk(f"t{number}t") for number in range(3)]
    async with stage.server() as staying, stage.server() as leaving:
        await stage.prepare(talks)
        followers = [asyncio.create_task(follow_soon(talk, leaving)) for talk in talks]
        # About in the answer, while a tool runs, and before the first token.
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
