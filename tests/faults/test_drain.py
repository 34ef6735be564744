"""Servers that are told to go while everything is under way: in order, in time, and nothing is lost.

`SWITCHYARD_DRAINS` is how many are told to go in a state that `SWITCHYARD_SEED` draws.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from commands.departure import EXIT_CODE
from foundation.db import seed
from tests.support.audit import audit
from tests.support.bill import billed_wrongly, journaled
from tests.support.crowd import half_a_body, idle_connection, idle_socket, probe, reads_nothing
from tests.support.database import MIGRATIONS, DatabaseServer, drop, fresh_database, open_folder
from tests.support.leaving import SLACK_S, Leaver, Watcher, leaver, made_agent, text
from tests.support.model import Rule
from tests.support.process import ServerProcess, start_command, until
from tests.support.relay import relaying
from tests.support.series import forecast_body
from tests.support.stage import ANSWER, PRICE, open_stage
from tests.support.stubborn import words
from tests.support.tables import Connection, connected

DRAINS = int(os.environ.get("SWITCHYARD_DRAINS", "2"))
SEED = int(os.environ.get("SWITCHYARD_SEED", "1127"))
COUNT = 160
HOWS = ("floods", "ignores", "threads")
CROWD = {"idle": idle_connection, "socket": idle_socket, "half": half_a_body}
OVERRUNS = "heavy_agent_drain_overruns_total"
PHASES = ["told_to_leave", "runs_given_back", "readers_sent_away", "connections_closed", "left"]


@pytest.fixture
async def sql(demo_url: str) -> AsyncIterator[Connection]:
    async with connected(demo_url) as opened:
        yield opened


@pytest.fixture
def settings(demo_url: str, tmp_path: Path) -> dict[str, str]:
    return {"DATABASE_URL": demo_url, "DATA_DIR": str(tmp_path)}


@dataclass(frozen=True)
class Ground:
    """A database with a server that stays on it, and goes on with what others leave."""

    settings: dict[str, str]
    sql: Connection
    agent_id: str
    stays: ServerProcess

    async def overruns(self) -> str:
        """As the server that stays has counted them."""
        figures = (await self.stays.client.get("/metrics")).text
        return next(line for line in figures.splitlines() if line.startswith(OVERRUNS))


@pytest.fixture(scope="module")
async def ground(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Ground]:
    url, folder = await fresh_database(database_server), tmp_path_factory.mktemp("ground")
    await seed(url, file=MIGRATIONS.parent / "seed.sql")
    settings = {"DATABASE_URL": url, "DATA_DIR": str(folder)}
    async with connected(url) as sql, leaver(settings, folder, drain_s=60, name="stays") as stays:
        yield Ground(settings, sql, await made_agent(sql), stays.server)
    await drop(database_server, url)


async def test_a_server_leaves_in_order_and_another_goes_on_with_its_runs(
    ground: Ground, tmp_path: Path
) -> None:
    agent_id, before = ground.agent_id, await ground.overruns()
    async with leaver(ground.settings, tmp_path, drain_s=8) as leaves, AsyncExitStack() as stack:
        with ground.stays.held():
            said = await leaves.begin(agent_id, words=COUNT)
            stubborn = await leaves.begin(agent_id, how="ignores")
            await leaves.until_stubborn(stubborn)
        stream, socket = Watcher(said), Watcher(said)
        reading = asyncio.create_task(stream.read(leaves.server))
        listening = asyncio.create_task(socket.listen(leaves.server))
        body = {"agentId": agent_id, "messages": [{"role": "user", "content": "go"}], "input": {"words": 900}}
        waiting = asyncio.create_task(leaves.server.client.post("/api/agent/execute", json=body))
        idle = await idle_connection(stack, leaves.server)
        half = await half_a_body(stack, leaves.server)
        await until(lambda: _has_words(stream, socket), within_s=10)

        leaves.server.process.terminate()
        told: list[str] = []
        over = asyncio.Event()
        probing = asyncio.create_task(probe(leaves.server, told, until_closed=over))
        await stream.sent_away.wait()
        told.append("reconnect")
        code = await leaves.exit_code()
        over.set()
        await asyncio.gather(reading, listening, probing)

        assert code == 0
        said_in_order = [line["event"] for line in leaves.said() if line["event"] in PHASES]
        assert said_in_order == PHASES
        # The listener was open while readiness was withdrawn, and until the readers were told.
        assert told.index("ready 503, new 503") < told.index("reconnect")
        answer = await waiting
        assert (answer.status_code, answer.headers["connection"]) == (202, "close")
        assert idle.ended == "end"
        await half.until(lambda: half.ended is not None)
        assert b"HTTP/1.1 503" in half.received
        assert b'"code":"draining"' in half.received
        assert socket.seen[-1] == {"type": "reconnect", "reason": "restarting"}
        assert socket.close_code == 1012

        await asyncio.gather(stream.read(ground.stays), Watcher(stubborn).read(ground.stays))
        assert stream.events[-1]["type"] == "done"
        assert [each["seq"] for each in stream.events] == list(range(1, len(stream.events) + 1))
        assert text(stream.events) == "".join(words(COUNT))
        await ground.stays.client.post(f"/api/runs/{answer.json()['runId']}/cancel")
        assert await ground.sql.fetchval("select public.switchyard_audit()") == []
        assert await ground.overruns() == before


async def _has_words(*watchers: Watcher) -> bool:
    return all(Counter(each["type"] for each in watcher.seen).total() > 20 for watcher in watchers)


async def be_in_some_state(leaves: Leaver, agent_id: str, stack: AsyncExitStack, dice: random.Random) -> str:
    """Give a server about half of all that makes leaving hard; what that is."""
    chosen = [name for name in (*HOWS, "computes", *CROWD) if dice.random() < 0.6]
    for how in (each for each in HOWS if each in chosen):
        run_id = await leaves.begin(agent_id, how=how)
        await leaves.until_stubborn(run_id)
        if how == "floods":
            await reads_nothing(stack, leaves.server, run_id)
    await leaves.begin(agent_id, words=COUNT)
    if "computes" in chosen:
        await leaves.until_stubborn(await leaves.server.submit(forecast_body(points=2900, horizon=365)))
    for name in (each for each in CROWD if each in chosen):
        await CROWD[name](stack, leaves.server)
    return " ".join(sorted(chosen))


async def test_a_server_leaves_in_time_whatever_its_clients_and_agents_do(
    sql: Connection, settings: dict[str, str], tmp_path: Path
) -> None:
    agent_id = await made_agent(sql)
    dice = random.Random(SEED)  # noqa: S311 - no secret
    for number in range(DRAINS):
        drain_s = 3 if number % 3 else 1
        async with (
            leaver(settings, tmp_path, drain_s=drain_s, name=f"leaver-{number}") as leaves,
            AsyncExitStack() as stack,
        ):
            state = await be_in_some_state(leaves, agent_id, stack, dice)

            leaves.server.process.terminate()
            # Who asks twice is not faster, and does no harm.
            leaves.server.process.terminate()
            code = await leaves.exit_code()

            left_ms = leaves.line("left")["after_ms"]
            print(f"seed={SEED} drain={drain_s} s left={left_ms} ms code={code} state={state}")  # noqa: T201
            assert code == 0
            assert left_ms <= drain_s * 1000
        held = "select kind from switchyard.runs where status = 'running'"
        assert await sql.fetch(held) == []
        assert await sql.fetchval("select public.switchyard_audit()") == []
        await sql.execute(
            "select public.switchyard_runs_cancel(user_id, id) from switchyard.runs where status = 'queued'"
        )
    overruns = await sql.fetchval("select count(*) from switchyard.workers where gone_by is not null")
    assert overruns == 0


async def test_a_server_leaves_in_time_though_its_database_does_not_answer(
    ground: Ground, tmp_path: Path
) -> None:
    place = urlsplit(ground.settings["DATABASE_URL"])
    assert place.port is not None
    async with relaying(place.port) as relay:
        through = place._replace(netloc=f"{place.netloc.rpartition(':')[0]}:{relay.port}").geturl()
        async with leaver({**ground.settings, "DATABASE_URL": through}, tmp_path, drain_s=3) as leaves:
            with ground.stays.held():
                watcher = Watcher(await leaves.begin(ground.agent_id, words=COUNT))
                reading = asyncio.create_task(watcher.read(leaves.server))
                await until(lambda: _has_words(watcher), within_s=10)
            relay.silence()

            leaves.server.process.terminate()

            assert await leaves.exit_code() == 0
            await reading
            assert watcher.sent_away.is_set()
            assert leaves.line("left")["after_ms"] <= 3000
            assert leaves.line("runs_given_back")["left"] == 1
    await watcher.read(ground.stays)
    assert watcher.events[-1]["type"] == "done"
    assert text(watcher.events) == "".join(words(COUNT))


async def test_a_server_leaves_in_time_though_its_model_says_nothing(demo_url: str, tmp_path: Path) -> None:
    """The provider has taken the question and begun an answer; the silence may last for minutes."""
    silent: Rule = {"times": 1, "reply": {"text": ANSWER, "fault": {"kind": "silence", "after": 0.0}}}
    async with open_stage(demo_url, tmp_path) as stage, stage.server() as stays:
        await stage.model.play(silent, {"reply": {"text": ANSWER}})
        async with leaver(stage.settings, tmp_path, drain_s=3) as leaves:
            with stays.held():
                watcher = Watcher(await stage.submit(leaves.server, "go"))
                reading = asyncio.create_task(watcher.read(leaves.server))
                await stage.model.until_called(1)

            leaves.server.process.terminate()

            assert await leaves.exit_code() == 0
            await reading
            assert leaves.line("left")["after_ms"] <= 3000
            assert leaves.line("runs_given_back")["left"] == 0
        await watcher.read(stays)

        assert (watcher.events[-1]["type"], watcher.events[-1]["response"]) == ("done", ANSWER)
        receipt = await stays.get(f"/api/runs/{watcher.run_id}/receipt")
        assert billed_wrongly(receipt, price=PRICE) == []
        assert journaled(receipt).model_calls == 1
        assert await audit(stage.sql, await stage.calls()) == []


async def test_a_server_that_hangs_is_ended_and_others_count_it(ground: Ground, tmp_path: Path) -> None:
    before = await ground.overruns()
    async with leaver(ground.settings, tmp_path, drain_s=1) as hangs:
        with ground.stays.held():
            run_id = await hangs.begin(ground.agent_id, how="hangs")
            await hangs.until_stubborn(run_id)

        hangs.server.process.terminate()

        assert await hangs.exit_code() == EXIT_CODE
        assert hangs.line("drain_overrun")["within_s"] == 1
    watcher = Watcher(run_id)
    await watcher.read(ground.stays)
    assert watcher.events[-1]["type"] == "done"
    counted = f"{OVERRUNS} {float(before.removeprefix(OVERRUNS)) + 1}"
    await until(lambda: _is(ground.overruns, counted), within_s=20)
    assert await ground.sql.fetchval("select public.switchyard_audit()") == []


async def _is(ask: Callable[[], Awaitable[str]], wanted: str) -> bool:
    return await ask() == wanted


async def test_a_server_told_to_go_while_it_starts_leaves_nothing_half_made(tmp_path: Path) -> None:
    folder = open_folder()
    settings = {"DATA_DIR": str(folder / "data"), "DRAIN_SECONDS": "10", "LOG_LEVEL": "info", "PORT": "0"}
    try:
        for moment in (b"", b"migration_applied"):
            process = await start_command("serve", **settings)
            assert process.stdout is not None
            if moment:
                while moment not in await process.stdout.readline():
                    assert not process.stdout.at_eof()
            else:
                await until(lambda: _is_there(folder / "data" / "postgres.lock"), within_s=20)

            process.terminate()

            async with asyncio.timeout(10 + SLACK_S):
                out, _ = await process.communicate()
            assert process.returncode == 0, out
            assert b"listening" not in out
        async with ServerProcess.running(DATA_DIR=str(folder / "data")) as server:
            assert (await server.client.get("/api/credits")).status_code == 200
    finally:
        shutil.rmtree(folder)


async def _is_there(path: Path) -> bool:
    return path.exists()  # noqa: ASYNC240 - one look
