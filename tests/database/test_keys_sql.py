"""API keys in the database: made, listed, revoked and found by their hash, each for its owner alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from foundation.errors import InvalidBody, InvalidRequest, InvalidToken, NotFound
from foundation.identity import ApiKeys
from foundation.identity.api_key import fresh_key
from tests.support.doors import THROUGH_THE_POOL
from tests.support.server import until
from tests.support.sql import Sql

MOST = 20

# Any: rows as the SQL functions give them.
Row = dict[str, Any]


class MovedClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.at_s = 1_000.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.at_s


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def keys(sql: Sql, clock: MovedClock) -> AsyncIterator[ApiKeys]:
    api_keys = ApiKeys(sql.database, clock=clock)
    yield api_keys
    await api_keys.stop()


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def made(sql: Sql, user: UUID, of: str = "one") -> Row:
    row: Row = await sql.call(
        "keys_create", user_id=user, name="Report", hash=hashed(of), prefix="sy_123456789"
    )
    return row


async def found(sql: Sql, of: str = "one") -> Row | None:
    row: Row | None = await sql.call("keys_find", hash=hashed(of))
    return row


async def last_used(sql: Sql, key: str) -> datetime | None:
    at: datetime | None = await sql.connection.fetchval(
        "select last_used_at from public.api_keys where id = $1", UUID(key)
    )
    return at


async def test_a_key_is_found_by_its_hash_and_listed_without_it(sql: Sql) -> None:
    user = await sql.user()

    key = await made(sql, user)

    (listed,) = await sql.call("keys_list", user_id=user)
    assert listed == {**key, "is_active": True, "last_used_ms": None}
    assert set(key) == {"id", "name", "prefix", "created_ms"}
    assert await found(sql) == {"id": key["id"], "user_id": str(user), "is_touch_due": True}


@pytest.mark.parametrize("near", ["sy_123456789", "onE", "one ", ""])
async def test_nothing_but_the_whole_hash_finds_a_key(sql: Sql, near: str) -> None:
    await made(sql, await sql.user())

    assert await found(sql, near) is None
    for text in (near, hashed("one")[:12], hashed("one").upper(), hashed("one") + " ", "%"):
        assert await sql.call("keys_find", hash=text) is None


async def test_a_revoked_key_is_not_found_and_may_be_revoked_again(sql: Sql) -> None:
    user = await sql.user()
    key = await made(sql, user)

    for _ in range(2):
        assert await sql.call("keys_revoke", user_id=user, key_id=key["id"]) == {"id": key["id"]}

    assert await found(sql) is None
    assert [each["is_active"] for each in await sql.call("keys_list", user_id=user)] == [False]


async def test_a_key_of_somebody_else_reads_as_unknown(sql: Sql) -> None:
    owner, other = await sql.user(), await sql.user()
    key = await made(sql, owner)

    refusals = []
    for id_ in (key["id"], uuid4()):
        with pytest.raises(NotFound) as refusal:
            await sql.call("keys_revoke", user_id=other, key_id=id_)
        refusals.append((refusal.value.code, refusal.value.detail))

    assert refusals[0] == refusals[1]
    assert await sql.call("keys_list", user_id=other) == []
    assert await found(sql) is not None


async def test_a_user_has_twenty_active_keys_at_most_however_many_are_asked_for_at_once(sql: Sql) -> None:
    user, other = await sql.user(), await sql.user()

    answers = await asyncio.gather(
        *(made(sql, user, f"{number}") for number in range(MOST + 10)), return_exceptions=True
    )

    refused = [each for each in answers if isinstance(each, InvalidBody)]
    kept = [each for each in answers if isinstance(each, dict)]
    assert (len(kept), len(refused)) == (MOST, 10)
    assert "20 active keys" in refused[0].detail
    await made(sql, other, "another's")
    await sql.call("keys_revoke", user_id=user, key_id=kept[0]["id"])
    await made(sql, user, "room again")


async def test_revoked_keys_never_hide_an_active_one(sql: Sql) -> None:
    user = await sql.user()
    key = await made(sql, user)
    await sql.connection.execute(
        "insert into public.api_keys (user_id, key_name, key_hash, key_prefix, is_active)"
        " select $1, 'old', 'old ' || n, 'sy_', false from generate_series(1, 300) n",
        user,
    )

    listed = await sql.call("keys_list", user_id=user)

    assert (len(listed), listed[0]["id"]) == (200, key["id"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"hash": None},
        {"hash": "the key itself"},
        {"hash": hashed("one").upper()},
        {"prefix": None},
        {"prefix": "sy_1234567890123456"},
        {"name": None},
        {"name": ""},
        {"name": "n" * 101},
        {"user_id": None},
        {"user_id": str(uuid4())},
    ],
    ids=str,
)
async def test_what_cannot_be_a_key_is_not_kept(sql: Sql, wrong: Row) -> None:
    user = await sql.user()
    right: Row = {"user_id": user, "name": "k", "hash": hashed("one"), "prefix": "sy_123456789"}

    with pytest.raises((InvalidRequest, InvalidBody)):
        await sql.call("keys_create", **(right | wrong))

    assert await sql.connection.fetchval("select count(*) from public.api_keys") == 0


async def test_a_users_keys_end_with_the_user(sql: Sql) -> None:
    user = await sql.user()
    await made(sql, user)

    await sql.connection.execute("delete from auth.users where id = $1", user)

    assert await found(sql) is None


async def test_a_use_is_noted_once_a_minute(sql: Sql) -> None:
    key = await made(sql, await sql.user())
    ids = [key["id"], str(uuid4())]

    noted = [await sql.call("keys_touch", ids=ids) for _ in range(2)]

    first = await last_used(sql, key["id"])
    assert noted == [{"noted": 1}, {"noted": 0}]
    assert first is not None
    assert (await found(sql) or {})["is_touch_due"] is False
    await sql.connection.execute(
        "update public.api_keys set last_used_at = last_used_at - interval '61 s'", timeout=5
    )
    assert (await found(sql) or {})["is_touch_due"] is True
    assert await sql.call("keys_touch", ids=ids) == {"noted": 1}


async def test_many_who_note_one_use_at_once_write_it_once(sql: Sql) -> None:
    key = await made(sql, await sql.user())

    noted = await asyncio.gather(*(sql.call("keys_touch", ids=[key["id"]]) for _ in range(20)))

    assert sum(each["noted"] for each in noted) == 1


async def test_noting_a_use_never_waits_for_who_writes_the_key(sql: Sql) -> None:
    key = await made(sql, await sql.user())

    async with sql.connection.transaction():
        await sql.connection.execute("update public.api_keys set key_name = 'other'")
        async with asyncio.timeout(5):
            assert await sql.call("keys_touch", ids=[key["id"]]) == {"noted": 0}


async def test_an_owner_is_remembered_for_five_seconds_and_a_stranger_never(
    sql: Sql, keys: ApiKeys, clock: MovedClock
) -> None:
    user = await sql.user()
    _, key = await keys.create(user, name="k")
    assert await keys.owner(key) == user

    # As another process, or the app, revokes it.
    await sql.connection.execute("update public.api_keys set is_active = false")
    clock.at_s += 4.9
    assert await keys.owner(key) == user
    clock.at_s += 0.1
    with pytest.raises(InvalidToken):
        await keys.owner(key)
    await sql.connection.execute("update public.api_keys set is_active = true")
    assert await keys.owner(key) == user


async def test_a_key_revoked_here_ends_at_once(sql: Sql, keys: ApiKeys, clock: MovedClock) -> None:
    user = await sql.user()
    made_, key = await keys.create(user, name="k")
    await keys.owner(key)

    clock.at_s += 0.1
    await keys.revoke(user, UUID(made_["id"]))

    with pytest.raises(InvalidToken):
        await keys.owner(key)


async def test_unknown_revoked_and_malformed_keys_are_refused_alike(sql: Sql, keys: ApiKeys) -> None:
    user = await sql.user()
    made_, revoked = await keys.create(user, name="k")
    await keys.revoke(user, UUID(made_["id"]))

    refusals: list[tuple[str, str, dict[str, str]]] = []
    for key in (revoked, fresh_key(), revoked[:-1], revoked[:12] + "0" * 23, "", made_["id"]):
        with pytest.raises(InvalidToken) as refusal:
            await keys.owner(key)
        refusals.append((refusal.value.code, refusal.value.detail, refusal.value.headers()))

    assert all(each == refusals[0] for each in refusals)


async def test_a_use_is_noted_beside_the_request(sql: Sql, keys: ApiKeys) -> None:
    made_, key = await keys.create(await sql.user(), name="k")

    await asyncio.gather(*(keys.owner(key) for _ in range(50)))

    async def is_noted() -> bool:
        return await last_used(sql, made_["id"]) is not None

    await until(is_noted)


# A look-up waits 5 s at most for its turn, which hundreds have in time at the pool's pace only.
@THROUGH_THE_POOL
async def test_hundreds_of_keys_come_into_use_at_once_and_all_are_noted(sql: Sql, keys: ApiKeys) -> None:
    user = await sql.user()
    secrets = [fresh_key() for _ in range(300)]
    await sql.connection.executemany(
        "insert into public.api_keys (user_id, key_name, key_hash, key_prefix) values ($1, 'k', $2, 'sy_')",
        [(user, hashed(secret)) for secret in secrets],
    )

    owners = await asyncio.gather(*(keys.owner(secret) for secret in secrets))

    async def are_noted() -> bool:
        unused = await sql.connection.fetchval(
            "select count(*) from public.api_keys where last_used_at is null"
        )
        return bool(unused == 0)

    assert set(owners) == {user}
    await until(are_noted)


async def test_a_use_that_cannot_be_noted_fails_nobody(sql: Sql, keys: ApiKeys) -> None:
    user = await sql.user()
    _, key = await keys.create(user, name="k")
    await sql.connection.execute("alter function public.switchyard_keys_touch rename to keys_touch_away")
    try:
        with capture_logs() as lines:
            assert await keys.owner(key) == user

            async def is_told() -> bool:
                return [line["event"] for line in lines] == ["api_key_use_not_noted"]

            await until(is_told)
    finally:
        await sql.connection.execute("alter function public.keys_touch_away rename to switchyard_keys_touch")
    assert await keys.owner(key) == user
