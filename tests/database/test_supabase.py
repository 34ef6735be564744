"""A project as the database: its keys, its gateway, and what of it may be away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.types import Send
from structlog.testing import capture_logs

from foundation.clock import GuidedClock
from foundation.db import DatabaseWatchdog, SupabaseDatabase, Trouble, Unseen, glance
from foundation.db.mapping import Meaning
from foundation.db.rest import Unsuccessful
from foundation.errors import DatabaseUnavailable, InternalError, NotConfigured
from heavy_agents.runs import PUSH, DatabaseCheck
from tests.support.certificate import certificate_for
from tests.support.database import DatabaseServer
from tests.support.doors import project_of, through
from tests.support.functions import answering
from tests.support.gateway import Gateway, fronting
from tests.support.postgrest import serving
from tests.support.process import free_port
from tests.support.relay import relaying
from tests.support.sql import Sql
from tests.support.web import Web, serve_web

LIMIT_S = 30.0
CLOCK = "/rest/v1/rpc/switchyard_clock"
ADD = "/rest/v1/rpc/switchyard_add"
KEY = "sb_secret_of-no-project-at-all"
MANY = 1_000_000


@pytest.fixture(scope="module")
async def functions_url(database_server: DatabaseServer) -> AsyncIterator[str]:
    async with answering(database_server) as url:
        yield url


@pytest.fixture(scope="module")
async def answering_project(functions_url: str) -> AsyncIterator[Gateway]:
    async with project_of(functions_url) as project:
        yield project


@pytest.fixture
def lasting(answering_project: Gateway) -> Iterator[None]:
    """Every token is early, for as long as the test takes."""
    answering_project.early = MANY
    yield
    answering_project.early = 0


@pytest.fixture
async def page() -> AsyncIterator[Web]:
    """A gateway with nothing behind it; its first answer, to the start, is in order."""
    async with serve_web() as web:
        web.reply(CLOCK, b'{"now_ms": 1}', headers={"content-type": "application/json; charset=utf-8"})
        yield web


async def test_the_legacy_key_is_taken_as_well(project: Gateway) -> None:
    database = SupabaseDatabase(project.url, project.legacy, size=1)
    await database.start()

    assert (await database.call("switchyard_clock"))["now_ms"] > 0
    await database.stop()


@pytest.mark.parametrize("kind", ["unknown", "publishable"])
async def test_a_key_that_is_not_the_services_ends_the_start_at_once(project: Gateway, kind: str) -> None:
    key = {"unknown": KEY, "publishable": project.publishable}[kind]
    database = SupabaseDatabase(project.url, key, size=1)
    asked = len(project.asked)

    with pytest.raises(
        DatabaseUnavailable, match="refused the key; check SUPABASE_URL, and that SUP"
    ) as refused:
        await database.start()

    assert len(project.asked) == asked + 1
    assert key not in f"{refused.value!r} {refused.value.__cause__!r}"
    await database.stop()


async def test_a_key_that_is_taken_back_is_told_once(page: Web) -> None:
    async with through_the(page) as database:
        page.reply(ADD, b'{"message": "Invalid API key"}', status=401)
        with capture_logs() as lines:
            for _ in range(3):
                with pytest.raises(DatabaseUnavailable):
                    await database.call("switchyard_add", a=1)

    assert [(line["event"], line["log_level"]) for line in lines] == [("supabase_key_refused", "error")]
    assert KEY not in str(lines)


async def test_a_token_that_is_early_once_hinders_neither_the_start_nor_a_call(
    answering_project: Gateway,
) -> None:
    answering_project.early = 1
    with capture_logs() as lines:
        async with through(answering_project) as database:
            answering_project.early = 2
            before = database.answers

            assert await database.call("switchyard_add", a=1) == 11
            assert database.answers == before + 1

    assert [line["event"] for line in lines] == ["database_not_reachable"]
    assert answering_project.early == 0


async def test_a_token_that_is_never_taken_refuses_the_start_and_names_the_key(
    answering_project: Gateway, lasting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foundation.db.supabase.FIRST_ANSWER_WITHIN_S", 2.0)
    database = SupabaseDatabase(answering_project.url, answering_project.key, size=1)

    with pytest.raises(
        DatabaseUnavailable, match=r"refused the key; check SUPABASE_URL, .* \(401 PGRST303\)$"
    ):
        await database.start()

    assert not await database.is_reachable(within_s=5)
    assert await trouble_with(answering_project.url, answering_project.key) is Trouble.BAD_LOGIN
    await database.stop()


async def test_a_token_that_is_not_taken_any_more_is_told_once(
    answering_project: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foundation.db.supabase.SEEK_WITHIN_S", 0.3)
    async with through(answering_project) as database:
        answering_project.early = MANY
        with capture_logs() as lines:
            for _ in range(2):
                with pytest.raises(DatabaseUnavailable):
                    await database.call("switchyard_add", a=1)
        answering_project.early = 0

        assert await database.call("switchyard_add", a=1) == 11

    assert [(line["event"], line["answer"]) for line in lines] == [("supabase_key_refused", "401 PGRST303")]


async def test_a_look_at_a_project_is_not_misled_by_a_token_that_is_early(
    answering_project: Gateway,
) -> None:
    answering_project.early = 2

    assert (await glance(answering_project.url, answering_project.key, within_s=LIMIT_S)).schema is None


async def test_a_project_without_our_schema_is_told_what_to_do(answering_project: Gateway) -> None:
    async with through(answering_project) as database:
        with pytest.raises(NotConfigured) as refused:
            await DatabaseCheck(database, GuidedClock(), remedy=PUSH)()

    assert refused.value.detail == f"the schema is missing; {PUSH}"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, b"<html>Bad gateway</html>", "text/html"),
        (503, b'{"message": "name resolution failed"}', "application/json"),
        (504, b"upstream request timeout", "text/plain"),
        (520, b"error code: 520", "text/plain"),
        (540, b"", "text/plain"),
        (404, b'{"message": "no Route matched with those values"}', "application/json"),
        (429, b'{"code": 429, "message": "too many"}', "application/json"),
        (503, b'{"code": 10000, "message": "a number of five digits"}', "application/json"),
        (200, b"<html>This project is paused</html>", "text/html"),
        (200, b"", ""),
        (200, b'{"a half', "application/json"),
        (503, b"[]", "application/json"),
    ],
)
async def test_what_a_gateway_says_in_postgrests_place_is_no_answer_and_is_not_asked_again(
    page: Web, status: int, body: bytes, kind: str
) -> None:
    page.reply(ADD, body, status=status, headers={"content-type": kind})
    async with through_the(page) as database:
        before = database.answers

        with pytest.raises(DatabaseUnavailable) as failed:
            await database.call("switchyard_add", a=1)

        assert database.answers == before
    assert failed.value.detail == "the database did not answer; try again"
    assert len(page.asked_for(ADD)) == 1


async def test_an_answer_that_cannot_be_unpacked_is_none(page: Web) -> None:
    page.reply(ADD, b"no gzip", headers={"content-type": "application/json", "content-encoding": "gzip"})
    async with through_the(page) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.call("switchyard_add", a=1)


async def test_a_body_that_a_gateway_does_not_pass_is_our_fault(page: Web) -> None:
    page.reply(ADD, b"too large", status=413)
    async with through_the(page) as database:
        with pytest.raises(InternalError):
            await database.call("switchyard_add", a=1)


async def test_the_key_does_not_follow_a_redirect(page: Web) -> None:
    async with serve_web() as elsewhere, through_the(page) as database:
        page.reply(ADD, status=307, headers={"location": f"{elsewhere.url}{ADD}"})
        with pytest.raises(DatabaseUnavailable):
            await database.call("switchyard_add", a=1)

    assert elsewhere.asked == []


async def test_what_is_sent_has_the_key_twice_and_no_browsers_name(page: Web) -> None:
    page.reply(ADD, b"11", headers={"content-type": "application/json"})
    async with through_the(page) as database:
        assert await database.call("switchyard_add", a=1, b=None) == 11

    (asked,) = page.asked_for(ADD)
    assert (asked.method, json.loads(asked.body)) == ("POST", {"p_a": 1, "p_b": None})
    assert asked.headers["apikey"] == KEY
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["user-agent"] == "switchyard"
    assert "cookie" not in asked.headers


async def test_a_proxy_of_the_environment_is_not_asked(page: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve_web() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with through_the(page):
            pass

    assert proxy.asked == []
    assert len(page.asked_for(CLOCK)) == 1


async def test_a_lost_answer_is_not_asked_for_again(shared: Sql, project: Gateway) -> None:
    await shared.wipe()
    user = await shared.user(balance=10)
    async with relaying(project.port) as relay:
        database = SupabaseDatabase(relay.url, project.key, size=1)
        await database.start()
        relay.losing = b"POST /rest/v1/rpc/deduct_credits"

        with pytest.raises(DatabaseUnavailable):
            await database.call("deduct_credits", user_id=user, credits=3, key="once")
        after = (await database.call("switchyard_credits_get", user_id=user))["balance"]
        await database.call("deduct_credits", user_id=user, credits=3, key="once")
        in_the_end = (await database.call("switchyard_credits_get", user_id=user))["balance"]
        await database.stop()

    assert (after, in_the_end) == (7, 7)


async def test_a_connection_that_cannot_be_had_is_sought_again(answering_project: Gateway) -> None:
    async with relaying(answering_project.port) as relay:
        database = SupabaseDatabase(relay.url, answering_project.key, size=1)
        await database.start()
        relay.cut()
        asked = asyncio.create_task(database.call("switchyard_add", a=1))
        await asyncio.sleep(0.3)
        assert not asked.done()
        await relay.restore()

        assert await asked == 11
        await database.stop()


async def test_a_connection_that_never_comes_is_given_up(
    answering_project: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foundation.db.supabase.SEEK_WITHIN_S", 0.3)
    async with relaying(answering_project.port) as relay:
        database = SupabaseDatabase(relay.url, answering_project.key, size=1)
        await database.start()
        relay.cut()

        with pytest.raises(DatabaseUnavailable):
            await database.call("switchyard_add", a=1)
        assert not await database.is_reachable(within_s=5)
        await database.stop()


async def test_a_postgrest_that_was_killed_is_away_until_it_is_back(functions_url: str) -> None:
    async with project_of(functions_url) as project, through(project) as database:
        await project.postgrest.kill()
        asked = len(project.asked)

        with pytest.raises(DatabaseUnavailable):
            await database.call("switchyard_add", a=1)
        # It may have gone over a connection that ended in that moment.
        assert len(project.asked) <= asked + 1
        await project.postgrest.start()

        assert await database.call("switchyard_add", a=1) == 11


async def test_a_postgres_that_is_away_behind_postgrest_is_waited_for(
    functions_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foundation.db.supabase.SEEK_WITHIN_S", 0.2)
    port = urlsplit(functions_url).port
    assert port is not None
    async with relaying(port) as relay:
        url = functions_url.replace(f":{port}/", f":{relay.port}/")
        async with project_of(url) as project, through(project) as database:
            assert await database.call("switchyard_add", a=1) == 11
            relay.cut()
            # Of connections that are found dead nobody knows whether the call went over them.
            await until_unsent(database)
            answers = database.answers
            monkeypatch.setattr("foundation.db.supabase.SEEK_WITHIN_S", LIMIT_S)
            asked = asyncio.create_task(database.call("switchyard_add", a=1))
            await asyncio.sleep(0.3)
            assert not asked.done()
            await relay.restore()

            assert await asked == 11
            assert database.answers == answers + 1


async def test_a_call_that_got_none_of_postgrests_connections_is_tried_again(functions_url: str) -> None:
    async with (
        serving(functions_url, db_pool="1", db_pool_acquisition_timeout="1") as rest,
        fronting(rest) as project,
        through(project) as database,
    ):
        held = asyncio.create_task(database.call("switchyard_sleep", seconds=3))
        await asyncio.sleep(0.2)

        assert await database.call("switchyard_add", a=1) == 11
        await held

    assert project.asked.count(ADD) > 1


async def test_more_calls_than_connections_take_turns(functions_url: str) -> None:
    async with project_of(functions_url) as project, through(project, size=2) as database:
        answers = await asyncio.gather(*(database.call("switchyard_add", a=n) for n in range(50)))

    assert answers == [n + 10 for n in range(50)]
    assert project.most <= 2


async def test_a_turn_that_does_not_come_is_unavailable(
    answering_project: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foundation.db.rest.CONNECT_WITHIN_S", 0.2)
    async with through(answering_project, size=1) as database:
        held = asyncio.create_task(database.call("switchyard_sleep", seconds=1))
        await asyncio.sleep(0.05)

        with pytest.raises(DatabaseUnavailable, match="no database connection came free"):
            await database.call("switchyard_add", a=1)
        await held


async def test_calls_that_are_given_up_leave_the_connections_to_others(answering_project: Gateway) -> None:
    async with through(answering_project, size=2) as database:
        calls = [asyncio.create_task(database.call("switchyard_sleep", seconds=0.5)) for _ in range(20)]
        await asyncio.sleep(0.1)
        for call in calls:
            call.cancel()
        given_up = await asyncio.gather(*calls, return_exceptions=True)

        assert {type(each) for each in given_up} == {asyncio.CancelledError}
        assert await database.call("switchyard_add", a=1) == 11


async def test_an_answer_that_trickles_is_not_waited_for_for_ever(
    page: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foundation.db.supabase.CONNECT_WITHIN_S", 0.3)

    async def trickle(send: Send) -> None:
        head = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(0.05)

    page.answers[ADD] = trickle
    async with through_the(page, command_timeout_s=0.3) as database:
        with pytest.raises(DatabaseUnavailable):
            await database.call("switchyard_add", a=1)


async def test_connections_that_a_network_has_forgotten_are_replaced(answering_project: Gateway) -> None:
    async with relaying(answering_project.port) as relay, asyncio.timeout(LIMIT_S):
        database = SupabaseDatabase(relay.url, answering_project.key, size=1, command_timeout_s=0.5)
        await database.start()
        relay.forget()

        with pytest.raises(DatabaseUnavailable):
            await database.call("switchyard_add", a=1)
        assert await database.call("switchyard_add", a=1) == 11
        await database.stop()


async def test_a_process_whose_connections_are_stuck_ends(project: Gateway) -> None:
    async with relaying(project.port) as relay, asyncio.timeout(LIMIT_S):
        database = SupabaseDatabase(relay.url, project.key, size=1, command_timeout_s=60)
        await database.start()
        relay.forget()
        held = asyncio.create_task(database.call("switchyard_clock"))
        await asyncio.sleep(0.1)
        async with watching(database) as ended:
            await ended.wait()
        held.cancel()
        await database.stop()


async def test_a_process_whose_project_is_away_stays(project: Gateway) -> None:
    async with relaying(project.port) as relay, asyncio.timeout(LIMIT_S):
        database = SupabaseDatabase(relay.url, project.key, size=1)
        await database.start()
        async with watching(database) as ended:
            relay.cut()
            # Three looks are enough for an end; these are many more.
            await asyncio.sleep(1.5)
            await relay.restore()
            await database.call("switchyard_clock")
            assert not ended.is_set()
        await database.stop()


async def test_what_is_wrong_on_the_way_to_a_project_is_told_apart(
    project: Gateway, page: Web, tmp_path: Path
) -> None:
    certificate, key = certificate_for("localhost", tmp_path, address="127.0.0.1")
    async with serve_web(certificate=certificate, key=key) as encrypted:
        found = {
            url: await trouble_with(url)
            for url in (
                project.url,
                encrypted.url,
                "http://nowhere.invalid",
                f"http://127.0.0.1:{free_port()}",
            )
        }
    page.reply("/rest/v1/rpc/switchyard_schema_version", b"<html>paused</html>", status=540)

    assert list(found.values()) == [
        Trouble.BAD_LOGIN,
        Trouble.BAD_TLS,
        Trouble.UNKNOWN_HOST,
        Trouble.NOBODY_THERE,
    ]
    assert await trouble_with(page.url) is Trouble.NO_DATABASE


async def test_a_project_that_is_not_there_yet_is_waited_for(project: Gateway) -> None:
    async with relaying(project.port) as relay:
        relay.cut()
        database = SupabaseDatabase(relay.url, project.key, size=1)
        started = asyncio.create_task(database.start())
        await asyncio.sleep(0.3)
        assert not started.done()
        await relay.restore()
        await started

        assert (await database.call("switchyard_clock"))["now_ms"] > 0
        await database.stop()


@asynccontextmanager
async def watching(database: SupabaseDatabase) -> AsyncIterator[asyncio.Event]:
    """What is set would be the end of the process."""
    ended = asyncio.Event()
    watchdog = DatabaseWatchdog(database, every_s=0.3, looks=3, end=ended.set)
    await watchdog.start()
    try:
        yield ended
    finally:
        await watchdog.stop()


async def trouble_with(url: str, key: str = KEY) -> Trouble:
    with pytest.raises(Unseen) as unseen:
        await glance(url, key, within_s=LIMIT_S)
    assert key not in f"{unseen.value!r} {unseen.value.__cause__!r}"
    return unseen.value.trouble


async def until_unsent(database: SupabaseDatabase) -> None:
    """Until what the gateway says means that nothing was executed."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            with pytest.raises(DatabaseUnavailable) as failed:
                await database.call("switchyard_add", a=1)
            if isinstance(why := failed.value.__cause__, Unsuccessful) and why.meaning is Meaning.UNSENT:
                return


@asynccontextmanager
async def through_the(page: Web, *, command_timeout_s: float = 5) -> AsyncIterator[SupabaseDatabase]:
    database = SupabaseDatabase(page.url, KEY, size=2, command_timeout_s=command_timeout_s)
    await database.start()
    try:
        yield database
    finally:
        await database.stop()
