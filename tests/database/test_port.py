"""What the port promises, whichever way a call takes: the pool, or a project's Data API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from foundation.db import PoolDatabase, ServedDatabase
from foundation.errors import (
    DatabaseUnavailable,
    InsufficientCredits,
    InternalError,
    InvalidRequest,
    RunNotFound,
)
from tests.support.database import DatabaseServer
from tests.support.doors import DOORS, project_of, through
from tests.support.functions import answering
from tests.support.gateway import Gateway


@pytest.fixture(scope="module")
async def functions_url(database_server: DatabaseServer) -> AsyncIterator[str]:
    async with answering(database_server) as url:
        yield url


@pytest.fixture(scope="module")
async def answering_project(functions_url: str) -> AsyncIterator[Gateway]:
    async with project_of(functions_url) as project:
        yield project


@pytest.fixture
async def pool(functions_url: str) -> AsyncIterator[ServedDatabase]:
    pool = PoolDatabase(functions_url, size=2, command_timeout_s=5)
    await pool.start()
    yield pool
    await pool.stop()


@pytest.fixture
async def rest(answering_project: Gateway) -> AsyncIterator[ServedDatabase]:
    async with through(answering_project, size=2, command_timeout_s=5) as database:
        yield database


@pytest.fixture(params=DOORS)
def db(request: pytest.FixtureRequest) -> ServedDatabase:
    found: ServedDatabase = request.getfixturevalue("pool" if request.param == "pool" else "rest")
    return found


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "", "naïve ☃ 🚂", [], [1, [2, {"a": None}]], {}, {"a": {"b": [1, "x"]}}, 2**53 - 1],
)
async def test_json_comes_back_as_it_went(db: ServedDatabase, value: object) -> None:
    assert await db.call("switchyard_echo", value={"v": value}) == {"v": value}  # type: ignore[dict-item]


async def test_arguments_become_what_the_function_declares(db: ServedDatabase) -> None:
    user = uuid4()

    answer = await db.call(
        "switchyard_types",
        user_id=user,
        count=3,
        name="x",
        at="2026-11-22T10:00:00Z",
        tags=["a", "b"],
        share=0.5,
        on=True,
    )

    assert answer == {
        "user": str(user),
        "count": 3,
        "name": "x",
        "at": "2026-11-22T10:00:00+00:00",
        "tags": ["a", "b"],
        "share": 0.5,
        "on": True,
    }


async def test_a_uuid_may_be_text(db: ServedDatabase) -> None:
    assert await db.call("deduct_credits", user_id=str(UUID(int=1))) == {"ok": True}


async def test_arguments_left_out_take_their_defaults(db: ServedDatabase) -> None:
    assert await db.call("switchyard_add", a=1) == 11
    assert await db.call("switchyard_add", b=1, a=2) == 3


async def test_a_function_without_a_result_answers_nothing(db: ServedDatabase) -> None:
    assert await db.call("switchyard_nothing") in (None, "")


async def test_a_refusal_arrives_as_its_class_with_its_facts(db: ServedDatabase) -> None:
    with pytest.raises(InsufficientCredits) as refusal:
        await db.call(
            "switchyard_refuse",
            state="PT402",
            code="insufficient_credits",
            facts='{"needed": 5, "available": 2}',
        )
    with pytest.raises(RunNotFound):
        await db.call("switchyard_refuse", state="PT404", code="run_not_found", facts="")

    assert (refusal.value.needed, refusal.value.available) == (5, 2)


@pytest.mark.parametrize(
    "function", ["pg_sleep", "switchyard_x(); drop table t", "Switchyard_x", "switchyard_"]
)
async def test_a_function_that_is_not_ours_is_never_called(db: ServedDatabase, function: str) -> None:
    with pytest.raises(InternalError, match="not a function this server calls"):
        await db.call(function)


async def test_an_argument_that_is_not_a_name_is_refused(db: ServedDatabase) -> None:
    with pytest.raises(InternalError, match="cannot be a name"):
        await db.call("switchyard_echo", **{"value => $1) --": 1})


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_text_that_cannot_be_kept_is_an_invalid_request(db: ServedDatabase, text: str) -> None:
    with pytest.raises(InvalidRequest):
        await db.call("switchyard_echo", value={"v": text})
    with pytest.raises(InvalidRequest):
        await db.call("switchyard_refuse", state=text, code="", facts="")
    with pytest.raises(InvalidRequest):
        await db.call("deduct_credits", user_id=text)

    assert await db.call("switchyard_add", a=1) == 11


async def test_json_nested_beyond_reason_is_an_invalid_request(db: ServedDatabase) -> None:
    deep: list[object] = []
    for _ in range(2_000):
        deep = [deep]

    with pytest.raises(InvalidRequest):
        await db.call("switchyard_echo", value=deep)  # type: ignore[arg-type]


async def test_a_lost_answer_is_unavailable_and_the_next_call_has_a_new_connection(
    db: ServedDatabase,
) -> None:
    with pytest.raises(DatabaseUnavailable) as lost:
        await db.call("switchyard_die")

    assert lost.value.detail == "the database did not answer; try again"
    assert await db.call("switchyard_add", a=1) == 11


async def test_a_cancelled_call_leaves_the_others_theirs(db: ServedDatabase) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await db.call("switchyard_sleep", seconds=5)

    assert await db.call("switchyard_add", a=1) == 11


async def test_a_number_that_is_none_is_nothing(db: ServedDatabase) -> None:
    answer = await db.call("switchyard_echo", value={"v": [float("nan"), float("inf"), 1e300]})

    assert answer == {"v": [None, None, 1e300]}


async def test_a_number_beyond_64_bits_is_an_invalid_request(db: ServedDatabase) -> None:
    with pytest.raises(InvalidRequest):
        await db.call("switchyard_echo", value={"v": 2**64})


async def test_nothing_stays_nothing(db: ServedDatabase) -> None:
    assert await db.call("switchyard_echo", value=None) is None
    assert await db.call("switchyard_echo", value="a text") == "a text"


async def test_more_is_said_than_one_packet_holds(db: ServedDatabase) -> None:
    text = "ß☃🚂" * 200_000

    assert await db.call("switchyard_echo", value={"v": text}) == {"v": text}


async def test_every_answer_is_counted_and_nothing_else(db: ServedDatabase) -> None:
    before = db.answers

    await db.call("switchyard_add", a=1)
    with pytest.raises(RunNotFound):
        await db.call("switchyard_refuse", state="PT404", code="run_not_found", facts="")
    with pytest.raises(InternalError):
        await db.call("switchyard_not_there")
    with pytest.raises(InternalError):
        await db.call("pg_sleep")

    assert db.answers == before + 3
    assert await db.is_reachable(within_s=30)


async def test_a_stopped_one_is_unavailable(db: ServedDatabase) -> None:
    await db.stop()

    with pytest.raises(DatabaseUnavailable, match="closed"):
        await db.call("switchyard_add", a=1)
