"""The three functions an app knows by name, as it calls them: through PostgREST, in each role."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import product
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.postgrest import Answer, PostgRest, serving
from tests.support.sql import Sql, talking

Site = tuple[PostgRest, Sql]

STATS: Final = {
    "totalUsers",
    "totalAgents",
    "publishedAgents",
    "heavyAgents",
    "runsToday",
    "creditsUsedToday",
    "activeRuns",
}


@pytest.fixture(scope="module")
async def site(database_server: DatabaseServer) -> AsyncIterator[Site]:
    url = await fresh_database(database_server)
    async with talking(url) as sql, serving(url) as rest:
        yield rest, sql
    await drop(database_server, url)


@pytest.mark.parametrize(
    ("function", "role"),
    list(product(("deduct_credits", "has_role", "get_admin_stats"), ("anon", "authenticated"))),
)
async def test_no_user_calls_them_not_even_an_admin_for_themselves(
    site: Site, function: str, role: str
) -> None:
    rest, sql = site
    user = await _member(sql, "admin")
    arguments = {
        "deduct_credits": {"p_user_id": str(user), "p_credits": 1},
        "has_role": {"p_user_id": str(user), "p_role": "admin"},
        "get_admin_stats": {"p_user_id": str(user)},
    }[function]

    status, answer = await rest.request("POST", f"/rpc/{function}", role=role, user=user, body=arguments)

    assert (status, answer["code"]) == (401 if role == "anon" else 403, "42501")
    assert await sql.money(user) == (10, 0)


@pytest.mark.parametrize(("role", "is_admin"), [("admin", True), ("moderator", False), ("user", False)])
async def test_a_role_is_had_by_who_was_given_it(site: Site, role: str, is_admin: bool) -> None:
    user = await _member(site[1], role)

    assert await _call(site, "has_role", p_user_id=user, p_role=role) == (200, True)
    assert await _call(site, "has_role", p_user_id=user, p_role="admin") == (200, is_admin)
    assert await _call(site, "has_role", p_user_id=uuid4(), p_role=role) == (200, False)


async def test_the_figures_are_for_the_service_and_for_admins(site: Site) -> None:
    _, sql = site
    admin = await _member(sql, "admin")
    await sql.agent(admin, is_published=True)
    await sql.deduct(admin, 4)

    by_service = await _call(site, "get_admin_stats")
    by_admin = await _call(site, "get_admin_stats", p_user_id=admin)

    assert by_admin == by_service
    assert by_service[1].keys() == STATS
    assert all(isinstance(each, int) for each in by_service[1].values())
    assert by_service[1]["publishedAgents"] >= 1
    assert by_service[1]["creditsUsedToday"] >= 4


@pytest.mark.parametrize("role", ["moderator", "user", None])
async def test_the_figures_are_for_nobody_else(site: Site, role: str | None) -> None:
    user = uuid4() if role is None else await _member(site[1], role)

    status, answer = await _call(site, "get_admin_stats", p_user_id=user)

    assert (status, answer["code"], answer["message"]) == (403, "PT403", "wrong_caller")


async def test_credits_are_deducted_once_a_key(site: Site) -> None:
    _, sql = site
    user = await sql.user(balance=10)

    answers = [
        await _call(site, "deduct_credits", p_user_id=user, p_credits=3, p_key="order-1") for _ in range(2)
    ]
    other = await _call(site, "deduct_credits", p_user_id=user, p_credits=4, p_key="order-1")
    without = [await _call(site, "deduct_credits", p_user_id=user, p_credits=2) for _ in range(2)]

    assert [(status, answer["charged"], answer["balance"]) for status, answer in answers] == [(200, 3, 7)] * 2
    assert (other[0], other[1]["message"]) == (422, "key_conflict")
    assert [answer["balance"] for _, answer in without] == [5, 3]
    assert await sql.audit() == []


async def test_what_a_run_holds_is_not_there_to_deduct(site: Site) -> None:
    _, sql = site
    user = await sql.user(balance=10)
    await sql.hold(user, 8, "a-run")

    status, answer = await _call(site, "deduct_credits", p_user_id=user, p_credits=3)

    assert (status, answer["message"]) == (402, "insufficient_credits")
    assert answer["details"] == '{"needed": 3, "available": 2}'
    assert await sql.money(user) == (10, 8)


@pytest.mark.parametrize("credits_", [0, -5, None])
async def test_nothing_is_deducted_that_is_no_amount(site: Site, credits_: int | None) -> None:
    user = await site[1].user(balance=10)

    status, answer = await _call(site, "deduct_credits", p_user_id=user, p_credits=credits_)

    assert (status, answer["message"]) == (400, "invalid_request")
    assert await site[1].money(user) == (10, 0)


async def _member(sql: Sql, role: str) -> UUID:
    user = await sql.user(balance=10)
    await sql.connection.execute("insert into public.user_roles (user_id, role) values ($1, $2)", user, role)
    return user


# Any: values for the arguments, as JSON or a UUID.
async def _call(site: Site, function: str, **arguments: Any) -> Answer:
    body = {name: str(each) if isinstance(each, UUID) else each for name, each in arguments.items()}
    return await site[0].call(function, body, role="service_role")
