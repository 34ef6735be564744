"""One lock, one dead connection, one busy account or one huge journal must not cost the others their runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

from foundation.db import migrate
from heavy_agents.runs import Answer, Context
from tests.support import engine
from tests.support.database import MIGRATIONS
from tests.support.engine import Bench, Scripted, bench, make_agent, make_user

PAST_AUTHORITY_S = 6.0


async def answer(_ctx: Context) -> Answer:
    return Answer("yes")


async def forever(ctx: Context) -> Answer:
    await ctx.chunk("begun")
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@asynccontextmanager
async def locked(url: str, statement: str, key: UUID) -> AsyncIterator[None]:
    """A transaction of somebody else's that holds a row."""
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(statement, key)
    try:
        yield
    finally:
        await transaction.rollback()
        await connection.close()


async def epoch(benched: Bench, run_id: UUID) -> int:
    """How often the run was claimed."""
    return int((await benched.runs.get(benched.user, run_id))["attempts"])


async def begun(benched: Bench, run_id: UUID) -> None:
    """Wait until the agent's first event is stored."""
    async with asyncio.timeout(30):
        while (await benched.runs.get(benched.user, run_id))["last_seq"] < 2:
            await asyncio.sleep(0.02)


async def test_a_locked_row_costs_no_other_run_its_lease(database_url: str) -> None:
    async with bench(database_url, Scripted(forever)) as benched:
        agent_id = await make_agent(database_url, benched.user)
        first, other = await benched.submit(agent_id), await benched.submit(agent_id)
        await begun(benched, other)

        async with locked(database_url, "select from switchyard.runs where id = $1 for update", first):
            await asyncio.sleep(PAST_AUTHORITY_S)

        assert await epoch(benched, other) == 1


async def test_requests_that_use_up_the_pool_cost_no_run_its_lease(database_url: str) -> None:
    async with bench(database_url, Scripted(forever)) as benched:
        owner, busy = benched.user, await make_user(database_url)
        run_id = await benched.submit(await make_agent(database_url, owner))
        await begun(benched, run_id)
        agent_id = await make_agent(database_url, busy)

        account = "select from public.credit_balances where user_id = $1 for update"
        async with locked(database_url, account, busy):
            benched.user = busy
            waiting = [asyncio.create_task(benched.submit(agent_id)) for _ in range(6)]
            await asyncio.sleep(PAST_AUTHORITY_S)
        await asyncio.gather(*waiting, return_exceptions=True)

        benched.user = owner
        assert await epoch(benched, run_id) == 1


async def test_a_connection_that_died_in_silence_costs_no_run_its_lease(database_url: str) -> None:
    async with deaf_proxy(database_url) as (url, freeze), bench(url, Scripted(forever)) as benched:
        run_id = await benched.submit(await make_agent(database_url, benched.user))
        await begun(benched, run_id)

        freeze.set()
        await asyncio.sleep(PAST_AUTHORITY_S)

        assert not freeze.is_set(), "no connection was frozen"
        assert await epoch(benched, run_id) == 1


async def test_runs_are_claimed_after_a_start_before_the_migration(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(_url: str, *, credits_: int = 0) -> UUID:
        return uuid4()

    monkeypatch.setattr(engine, "make_user", nobody)  # there is no table to put one in yet
    async with bench(empty_database_url, Scripted(answer)) as benched:
        await asyncio.sleep(0.5)
        await migrate(empty_database_url, folder=MIGRATIONS)
        benched.user = await make_user(empty_database_url)
        benched.engine.is_draining = True  # so that the submission is not claimed on the way
        benched.engine.reserve()
        benched.engine.is_draining = False
        run_id = await benched.submit(await make_agent(empty_database_url, benched.user))

        assert (await benched.events(run_id))[-1].type == "done"


async def test_a_journal_too_long_for_one_answer_stops_no_claim(database_url: str) -> None:
    async def script(ctx: Context) -> Answer:
        async def never() -> None:
            raise AssertionError("the step is journaled")

        return Answer(str(len(str(await ctx.step("s290", never)))))

    async with bench(database_url, Scripted(answer, kind="other"), Scripted(script)) as benched:
        await benched.lifecycle.drain(within_s=5)
        run_id = await long_journal(benched)
    async with bench(database_url, Scripted(answer, kind="other"), Scripted(script)) as second:
        second.user = benched.user

        assert (await second.events(run_id))[-1].data["response"] == "1000000"


async def long_journal(benched: Bench) -> UUID:
    """A queued run that has journaled 290 MB: more than one JSON value of Postgres may hold."""
    agent_id = await make_agent(benched.url, benched.user)
    connection = await asyncpg.connect(benched.url)
    try:
        run_id: UUID = await connection.fetchval(
            "insert into switchyard.runs (id, user_id, agent_id, kind, status, agent, messages, input,"
            " metadata, credits_owner, hold_credits, queue_deadline_at, last_seq, epoch)"
            " select $1, user_id, id, kind, 'queued', switchyard.agent_snapshot(a), '[]', '{}', '{}', 'off',"
            " 0, now() + interval '1 hour', 1, 1 from public.agents a where id = $2 returning id",
            uuid4(),
            agent_id,
        )
        await connection.execute(
            "insert into switchyard.events (run_id, seq, type, data) values ($1, 1, 'started', '{}')", run_id
        )
        await connection.execute(
            "insert into switchyard.steps (run_id, name, epoch, result, size_bytes, duration_ms)"
            " select $1, 's' || n, 1, to_jsonb(repeat('x', 1000000)), 1000002, 1"
            " from generate_series(1, 290) n",
            run_id,
        )
    finally:
        await connection.close()
    return run_id


@asynccontextmanager
async def deaf_proxy(url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A way to the database; once the event is set, the connection of the next heartbeat goes silent."""
    freeze = asyncio.Event()
    parts = urlsplit(url)
    relays: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
        while part := await reader.read(65_536):
            if freeze.is_set() and b'"token"' in part:
                freeze.clear()
                deaf.set()
            if deaf.is_set():
                await asyncio.Event().wait()
            writer.write(part)
            await writer.drain()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(parts.hostname, parts.port)
        deaf = asyncio.Event()
        ways = [
            asyncio.create_task(pump(reader, up_writer, deaf)),
            asyncio.create_task(pump(up_reader, writer, deaf)),
        ]
        relays.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for each in (writer, up_writer):
            each.close()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}").geturl(), freeze
    finally:
        server.close()
        for each in relays:
            each.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
        await asyncio.sleep(0.1)  # for the transports to close
