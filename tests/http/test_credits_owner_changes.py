"""A key whose request comes again after `CREDITS_OWNER` was changed: one charge, whoever asks for it."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from foundation.settings import CreditsOwner
from tests.support.chat import chatting
from tests.support.light import ask_runtime, ledger, money

EXECUTE = "/api/agent/execute"
KEY = {"idempotency-key": "order-1"}
PAID = [("hold", 0), ("settle", -3)]


@pytest.mark.parametrize(("before", "after"), list(permutations(CreditsOwner, 2)))
async def test_a_run_is_charged_for_once_whoever_charges_when_its_key_comes_again(
    database_url: str, before: CreditsOwner, after: CreditsOwner
) -> None:
    async with (
        chatting(database_url, credits_owner=before.value) as old,
        old.server.person(balance=10) as person,
        chatting(database_url, credits_owner=after.value) as new,
        new.server.client(authorization=f"Bearer {new.server.forge.token(person.id)}") as later,
    ):
        agent = await old.server.agent(person.id, price={"flat": 3})
        first = await ask_runtime(person, agent, headers=KEY)
        paid = await ledger(old.server, person)

        again = await ask_runtime(replace(person, client=later), agent, headers=KEY)

        assert again.json() == first.json()
        assert again.headers["idempotency-replayed"] == "true"
        assert paid == ([] if before is CreditsOwner.OFF else PAID)
        # What nobody has charged for, whoever calls may.
        is_free = before is CreditsOwner.OFF and after is CreditsOwner.BACKEND
        assert await money(old.server, person) == (10 if is_free else 7, 0)
        assert await old.server.sql.fetchval("select public.switchyard_audit()") == []


async def test_an_edge_function_that_charges_is_told_of_a_run_that_was_charged_here(
    database_url: str,
) -> None:
    async with (
        chatting(database_url, credits_owner="backend") as old,
        old.server.person(balance=10) as person,
        chatting(database_url, credits_owner="caller") as new,
        new.server.client(authorization=f"Bearer {new.server.forge.token(person.id)}") as later,
    ):
        body = person.body()
        await person.client.post(EXECUTE, json=body, headers=KEY)
        edge = {"x-credits-owner": "caller"}
        answers = [
            await later.post(EXECUTE, json=body | changes, headers=edge | key)
            for key, changes in ((KEY, {}), (KEY, {"stream": True}), ({}, {}))
        ]
        unasked = await later.post(EXECUTE, json=body, headers=KEY)

        told = [answer.headers.get("x-credits-owner") for answer in (*answers, unasked)]
        assert told == ["backend", "backend", None, None]
