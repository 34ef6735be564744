from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from foundation.db import PoolDatabase
from foundation.errors import (
    DatabaseUnavailable,
    InsufficientCredits,
    InternalError,
    InvalidRequest,
    RunNotFound,
)
from tests.support.database import DatabaseServer, at, drop

FUNCTIONS = """
create function switchyard_echo(p_value jsonb) returns jsonb language sql as 'select p_value';
create function switchyard_types(
  p_user_id uuid, p_count int, p_name text, p_at timestamptz, p_tags text[], p_share numeric, p_on boolean
)
returns jsonb
language sql
as $$
  select jsonb_build_object(
    'user', p_user_id, 'count', p_count, 'name', p_name, 'at', p_at,
    'tags', p_tags, 'share', p_share, 'on', p_on
  )
$$;
create function switchyard_add(p_a int, p_b int default 10) returns int language sql as 'select p_a + p_b';
create function switchyard_nothing() returns void language sql as '';
create function switchyard_now()
returns timestamptz
language sql
as $$ select '2026-11-22 10:00+00'::timestamptz $$;
create function switchyard_refuse(p_state text, p_code text, p_facts text)
returns jsonb
language plpgsql
as $$
begin
  raise exception using errcode = p_state, message = p_code, detail = p_facts;
end
$$;
create function switchyard_sleep(p_seconds numeric) returns void language sql as 'select pg_sleep(p_seconds)';
create function switchyard_backend() returns int language sql as 'select pg_backend_pid()';
create function switchyard_die()
returns void
language sql
as 'select pg_terminate_backend(pg_backend_pid())';
create function switchyard_name()
returns text
language sql
as $$ select current_setting('application_name') $$;
create function deduct_credits(p_user_id uuid)
returns jsonb
language sql
as $$ select '{"ok": true}'::jsonb $$;
"""


@pytest.fixture(scope="module")
async def functions_url(database_server: DatabaseServer) -> AsyncIterator[str]:
    url = await database_server.create_empty()
    connection = await asyncpg.connect(url)
    await connection.execute(FUNCTIONS)
    await connection.close()
    yield url
    await drop(database_server, url)


@pytest.fixture
async def pool(functions_url: str) -> AsyncIterator[PoolDatabase]:
    pool = PoolDatabase(functions_url, size=2, command_timeout_s=5)
    await pool.start()
    yield pool
    await pool.stop()


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "", "naïve ☃ 🚂", [], [1, [2, {"a": None}]], {}, {"a": {"b": [1, "x"]}}, 2**53 - 1],
)
async def test_json_comes_back_as_it_went(pool: PoolDatabase, value: object) -> None:
    assert await pool.call("switchyard_echo", value={"v": value}) == {"v": value}  # type: ignore[dict-item]


async def test_arguments_become_what_the_function_declares(pool: PoolDatabase) -> None:
    user = uuid4()

    answer = await pool.call(
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


async def test_a_uuid_may_be_text(pool: PoolDatabase) -> None:
    assert await pool.call("deduct_credits", user_id=str(UUID(int=1))) == {"ok": True}


async def test_arguments_left_out_take_their_defaults(pool: PoolDatabase) -> None:
    assert await pool.call("switchyard_add", a=1) == 11
    assert await pool.call("switchyard_add", b=1, a=2) == 3


async def test_a_function_without_a_result_answers_nothing(pool: PoolDatabase) -> None:
    assert await pool.call("switchyard_nothing") in (None, "")


async def test_a_time_is_text(pool: PoolDatabase) -> None:
    assert await pool.call("switchyard_now") == "2026-11-22 10:00:00+00"


async def test_a_refusal_arrives_as_its_class_with_its_facts(pool: PoolDatabase) -> None:
    with pytest.raises(InsufficientCredits) as refusal:
        await pool.call(
            "switchyard_refuse",
            state="PT402",
            code="insufficient_credits",
            facts='{"needed": 5, "available": 2}',
        )
    with pytest.raises(RunNotFound):
        await pool.call("switchyard_refuse", state="PT404", code="run_not_found", facts="")

    assert (refusal.value.needed, refusal.value.available) == (5, 2)


async def test_an_unknown_function_is_our_fault_and_keeps_its_cause(pool: PoolDatabase) -> None:
    with pytest.raises(InternalError) as error:
        await pool.call("switchyard_not_there")

    assert "switchyard" not in error.value.detail
    assert isinstance(error.value.__cause__, asyncpg.UndefinedFunctionError)


@pytest.mark.parametrize(
    "function", ["pg_sleep", "switchyard_x(); drop table t", "Switchyard_x", "switchyard_"]
)
async def test_a_function_that_is_not_ours_is_never_called(pool: PoolDatabase, function: str) -> None:
    with pytest.raises(InternalError, match="not a function this server calls"):
        await pool.call(function)


async def test_an_argument_that_is_not_a_name_is_refused(pool: PoolDatabase) -> None:
    with pytest.raises(InternalError, match="cannot be a name"):
        await pool.call("switchyard_echo", **{"value => $1) --": 1})


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
async def test_text_that_cannot_be_kept_is_an_invalid_request(pool: PoolDatabase, text: str) -> None:
    with pytest.raises(InvalidRequest):
        await pool.call("switchyard_echo", value={"v": text})
    with pytest.raises(InvalidRequest):
        await pool.call("switchyard_refuse", state=text, code="", facts="")
    with pytest.raises(InvalidRequest):
        await pool.call("deduct_credits", user_id=text)

    assert await pool.call("switchyard_add", a=1) == 11


async def test_json_nested_beyond_reason_is_an_invalid_request(pool: PoolDatabase) -> None:
    deep: list[object] = []
    for _ in range(2_000):
        deep = [deep]

    with pytest.raises(InvalidRequest):
        await pool.call("switchyard_echo", value=deep)  # type: ignore[arg-type]


async def test_a_wrong_type_is_our_own_fault(pool: PoolDatabase) -> None:
    with pytest.raises(InternalError):
        await pool.call("switchyard_add", a="one")


async def test_a_call_without_an_answer_in_time_is_unavailable(functions_url: str) -> None:
    pool = PoolDatabase(functions_url, size=1, command_timeout_s=0.1)
    await pool.start()

    with pytest.raises(DatabaseUnavailable):
        await pool.call("switchyard_sleep", seconds=5)

    assert await pool.call("switchyard_add", a=1) == 11
    await pool.stop()


async def test_a_lost_answer_is_unavailable_and_the_next_call_has_a_new_connection(
    pool: PoolDatabase,
) -> None:
    with pytest.raises(DatabaseUnavailable) as lost:
        await pool.call("switchyard_die")

    assert lost.value.detail == "the database did not answer; try again"
    assert await pool.call("switchyard_add", a=1) == 11


async def test_a_cancelled_call_leaves_the_pool_usable(pool: PoolDatabase) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pool.call("switchyard_sleep", seconds=5)

    assert await pool.call("switchyard_add", a=1) == 11


async def test_more_calls_than_connections_take_turns(pool: PoolDatabase) -> None:
    backends = await asyncio.gather(*(pool.call("switchyard_backend") for _ in range(20)))

    assert 1 <= len(set(backends)) <= 2


async def test_the_server_knows_us_by_name(pool: PoolDatabase) -> None:
    assert await pool.call("switchyard_name") == "switchyard"


async def test_a_closed_pool_is_unavailable(functions_url: str) -> None:
    pool = PoolDatabase(functions_url, size=1)

    with pytest.raises(DatabaseUnavailable):
        await pool.call("switchyard_add", a=1)


async def test_a_wrong_login_is_refused_at_once_without_repeating_the_password(functions_url: str) -> None:
    password = "not-the-password-at-all"
    host = functions_url.partition("@")[2]

    with pytest.raises(DatabaseUnavailable, match="refused the login; check DATABASE_URL") as refusal:
        await PoolDatabase(f"postgresql://postgres:{password}@{host}", size=1).start()

    assert password not in str(refusal.value)


async def test_an_unknown_database_is_refused_at_once(functions_url: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        await PoolDatabase(at(functions_url, "no_such_database"), size=1).start()
