"""Who is given a slot when one user, or one kind, has sent very many runs."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from tests.support.sql import Sql

# More than twice what a claim looks at before it looks behind.
FLOOD = 500
WAIT = """
insert into switchyard.runs (
  id, user_id, kind, status, agent, messages, input, metadata, credits_owner, hold_credits, queue_deadline_at,
  queued_at
)
select gen_random_uuid(), $1, $2, 'queued', '{"name": "a"}', '[]', '{}', '{}', 'off', 0,
  now() + interval '1 hour', now() - interval '1 minute' + n * interval '1 ms'
from generate_series(1, $3) n
"""
KINDS = ("chat", "forecast")


async def test_whoever_waits_behind_a_flood_of_one_user_is_found(sql: Sql) -> None:
    flooding, other = await sql.user(), await sql.user()
    await sql.connection.execute(WAIT, flooding, "chat", FLOOD)
    late = str(await sql.queued(other))

    claims = await sql.claim(limit=4, slots=4, kinds=KINDS)

    assert Counter(claim["user_id"] for claim in claims) == {str(flooding): 3, str(other): 1}
    assert claims[2]["run_id"] == late, "the third, once the other holds half"


async def test_the_oldest_of_those_behind_a_flood_comes_first(sql: Sql) -> None:
    flooding = await sql.user()
    await sql.connection.execute(WAIT, flooding, "chat", FLOOD)
    others = [str(await sql.queued(await sql.user())) for _ in range(4)]

    claims = await sql.claim(limit=6, slots=6, kinds=KINDS)

    assert [claim["run_id"] for claim in claims[3:]] == others[:3]


async def test_a_flood_of_one_kind_by_many_users_leaves_room_for_another(sql: Sql) -> None:
    for _ in range(6):
        await sql.connection.execute(WAIT, await sql.user(), "forecast", 3)
    chats = [str(await sql.queued(await sql.user())) for _ in range(3)]

    claims = await sql.claim(limit=4, slots=4, kinds=KINDS)

    assert [claim["kind"] for claim in claims] == ["forecast", "forecast", "chat", "chat"]
    assert [claim["run_id"] for claim in claims[2:]] == chats[:2]


async def test_a_kind_alone_takes_every_slot(sql: Sql) -> None:
    for _ in range(4):
        await sql.connection.execute(WAIT, await sql.user(), "forecast", 1)

    assert len(await sql.claim(limit=4, slots=4, kinds=KINDS)) == 4


async def test_over_replicas_a_flood_holds_half_of_each(sql: Sql) -> None:
    await sql.connection.execute(WAIT, await sql.user(), "forecast", 20)
    for _ in range(8):
        await sql.queued(await sql.user())

    held = [await sql.claim(worker, limit=4, slots=4, kinds=KINDS) for worker in ("w1", "w2", "w3")]

    assert [Counter(claim["kind"] for claim in claims) for claims in held] == [{"forecast": 2, "chat": 2}] * 3


async def test_users_go_before_kinds(sql: Sql) -> None:
    flooding, other = await sql.user(), await sql.user()
    await sql.connection.execute(WAIT, flooding, "chat", 2)
    await sql.claim(limit=2, slots=4, kinds=KINDS)
    await sql.connection.execute(WAIT, flooding, "forecast", 1)
    of_other = str(await sql.queued(other))

    (claim,) = await sql.claim(limit=1, slots=4, kinds=KINDS)

    assert claim["run_id"] == of_other, "of the kind that holds half, by the user who holds nothing"


async def test_what_somebody_else_has_locked_is_passed_over(sql: Sql) -> None:
    flooding, other = await sql.user(), await sql.user()
    await sql.connection.execute(WAIT, flooding, "chat", FLOOD)
    locked, late = await sql.queued(other), str(await sql.queued(await sql.user()))

    async with sql.connection.transaction():
        await sql.connection.execute(
            "select from switchyard.runs where id = $1 for update", UUID(str(locked))
        )
        claims = await sql.claim(limit=4, slots=4, kinds=KINDS)

    assert [claim["run_id"] for claim in claims].count(late) == 1
    assert str(locked) not in {claim["run_id"] for claim in claims}
