"""Hints over LISTEN and NOTIFY: who hears what, and what becomes of them when the connection dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from foundation.db import PoolDatabase
from foundation.hints import PostgresHints, Queued
from foundation.hints.notes import decode
from foundation.hints.postgres import CHANNEL, MOST_COMPANY
from foundation.telemetry import Metrics
from tests.support.database import ask
from tests.support.hearers import Hearer
from tests.support.pgbouncer import pooling
from tests.support.relay import relaying

WITHIN_S = 30.0
OWN_SESSIONS = "from pg_stat_activity where application_name = 'switchyard hints'"


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def heard(url: str, name: str, hearer: Hearer) -> AsyncIterator[PostgresHints]:
    """Hints that arrive."""
    async with started(url, name, hearer) as hints:
        await until(lambda: hints.are_heard)
        yield hints


@asynccontextmanager
async def started(url: str, name: str, hearer: Hearer) -> AsyncIterator[PostgresHints]:
    db = PoolDatabase(url, size=2)
    await db.start()
    hints = PostgresHints(url, db, name=name, metrics=Metrics())
    hints.listen(hearer)
    await hints.start()
    try:
        yield hints
    finally:
        await hints.stop()
        await db.stop()


@pytest.fixture
async def pair(database_url: str) -> AsyncIterator[tuple[PostgresHints, PostgresHints, Hearer, Hearer]]:
    """Two processes on one database that know of each other, and what each hears."""
    first, second = Hearer(), Hearer()
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(heard(database_url, "one", first))
        other = await stack.enter_async_context(heard(database_url, "other", second))
        await until(lambda: one._is_in_company and other._is_in_company)
        yield one, other, first, second


async def test_work_cancels_and_events_are_heard_by_the_other_and_not_by_oneself(
    pair: tuple[PostgresHints, PostgresHints, Hearer, Hearer],
) -> None:
    one, _, first, second = pair
    cancelled, stored = uuid4(), uuid4()

    one.queued([Queued(uuid4(), 0, "chat")])
    one.cancel(cancelled)
    one.stored({stored: [{"seq": 1, "type": "chunk", "data": {}}]})
    await second.until_told(stored)

    assert (second.works, second.cancels, second.told) == (1, [cancelled], [(stored, None)])
    assert (first.works, first.cancels, first.told) == (0, [], [])


async def test_what_one_flush_has_stored_is_one_notification(
    pair: tuple[PostgresHints, PostgresHints, Hearer, Hearer], database_url: str
) -> None:
    one, _, _, second = pair
    runs, payloads = [uuid4() for _ in range(100)], list[object]()
    stranger = await asyncpg.connect(database_url)
    await stranger.add_listener(CHANNEL, lambda *heard: payloads.append(heard[3]))

    for run_id in runs:
        one.stored({run_id: ()})
    await second.until_told(runs[-1])
    await until(lambda: any(runs[-1].hex in str(each) for each in payloads))

    about = [note.stored for each in payloads if (note := decode(str(each))) and note.stored]
    assert [sorted(each) for each in about] == [sorted(runs)]
    await stranger.close()


async def test_hints_come_back_after_their_connection_was_ended_and_say_what_may_have_been_missed(
    pair: tuple[PostgresHints, PostgresHints, Hearer, Hearer], database_url: str
) -> None:
    one, other, first, second = pair
    misses = second.misses
    run_id = uuid4()

    await ask(database_url, f"select count(pg_terminate_backend(pid)) {OWN_SESSIONS}")
    await until(lambda: first.misses > 1 and second.misses > misses and one._is_in_company)
    one.stored({run_id: ()})
    await second.until_told(run_id)

    assert other.are_heard


async def test_a_connection_that_is_dead_without_knowing_it_is_found_out(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PING_S", "HEARD_WITHIN_S", "SEND_WITHIN_S", "CONNECT_WITHIN_S"):
        monkeypatch.setattr(f"foundation.hints.postgres.{name}", 0.3)
    hearer = Hearer()
    async with relaying(urlsplit(database_url).port or 0) as relay:
        parts = urlsplit(database_url)
        url = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{relay.port}")).geturl()
        async with heard(url, "one", hearer) as hints:
            relay.silence()
            await until(lambda: not hints.are_heard)
            await relay.restore()

            await until(lambda: hints.are_heard)

    assert hearer.misses == 2


async def test_what_is_told_last_still_leaves(
    pair: tuple[PostgresHints, PostgresHints, Hearer, Hearer],
) -> None:
    """A process that goes has given its runs back a moment before."""
    one, _, _, second = pair

    one.queued([Queued(uuid4(), 0, "chat")])
    await one.drain()
    await one.stop()

    await until(lambda: second.works == 1)


async def test_a_database_that_does_not_answer_holds_up_nobody_who_leaves(database_url: str) -> None:
    parts = urlsplit(database_url)
    async with relaying(parts.port or 0) as relay:
        url = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{relay.port}")).geturl()
        async with heard(database_url, "other", Hearer()), heard(url, "one", Hearer()) as hints:
            await until(lambda: hints._is_in_company)
            relay.silence()

            hints.queued([Queued(uuid4(), 0, "chat")])
            with capture_logs() as logged:
                async with asyncio.timeout(WITHIN_S):
                    await hints.drain()

            assert "hints_goodbye_late" in {each["event"] for each in logged}


async def test_alone_on_its_database_a_process_tells_nothing(database_url: str) -> None:
    async with heard(database_url, "one", Hearer()) as hints:
        hints.stored({uuid4(): ()})
        hints.cancel(uuid4())

        assert hints._pending.take("one") is None


async def test_without_a_database_telling_is_harmless_and_stopping_quick() -> None:
    away = "postgresql://127.0.0.1:1/x"
    metrics = Metrics()
    hints = PostgresHints(away, PoolDatabase(away, size=1), name="one", metrics=metrics)
    hints.listen(Hearer())
    await hints.start()

    hints.stored({uuid4(): ()})
    hints.cancel(uuid4())

    assert not hints.are_heard
    assert metrics.registry.get_sample_value("heavy_agent_hints_alone") == 1
    await hints.stop()


async def test_behind_a_pooler_of_transactions_hints_are_known_not_to_arrive(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LISTEN says yes there; whoever believes it waits for ever."""
    for name in ("PING_S", "HEARD_WITHIN_S"):
        monkeypatch.setattr(f"foundation.hints.postgres.{name}", 0.3)
    with capture_logs() as logged:
        async with pooling(database_url) as url, started(url, "one", Hearer()):
            await until(lambda: any(each["event"] == "hints_lost" for each in logged))

    assert {each["reason"] for each in logged if each["event"] == "hints_lost"} == {"NothingHeard"}
    assert "hints_heard" not in {each["event"] for each in logged}


async def test_of_however_many_names_a_stranger_says_only_so_many_are_kept(database_url: str) -> None:
    hearer, marker = Hearer(), uuid4()
    async with heard(database_url, "one", hearer) as hints:
        await ask(
            database_url,
            f"select count(pg_notify('{CHANNEL}', jsonb_build_object('name', n)::text))"  # noqa: S608
            f" from generate_series(1, {MOST_COMPANY} + 100) n",
        )
        last = f'{{"name": "last", "stored": ["{marker.hex}"]}}'
        await ask(database_url, f"select pg_notify('{CHANNEL}', '{last}')")
        await hearer.until_told(marker)

        assert len(hints._company) == MOST_COMPANY
