"""One key is one run, however the key is written and by whichever way it comes."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest

from tests.support.forgetful import Loss, forgetting
from tests.support.refusals import By, Told, order
from tests.support.server import Person, TestServer, messages, running_server
from tests.support.sockets import connected

INPUT = {"chunks": ["a"]}
BARE, QUOTED = "order-1", '"order-1"'


async def run_of(by: By, server: TestServer, person: Person, key: str) -> str:
    """The run that an order with `key` has made or joined."""
    if by is By.WS:
        async with connected(server, person) as client:
            await client.execute(person, INPUT, idempotencyKey=key)
            return str((await client.hear_to_end())[-1]["runId"])
    answer = await person.execute(INPUT, headers={"Idempotency-Key": key}, stream=by is By.SSE)
    assert answer.status_code == 200
    told = messages(answer.text)[-1] if by is By.SSE else answer.json()
    assert answer.headers["location"] == f"/api/runs/{told['runId']}"
    return str(told["runId"])


@pytest.mark.parametrize(("first", "second"), list(product(By, By)))
@pytest.mark.parametrize("keys", [(BARE, QUOTED), (QUOTED, BARE)], ids=["bare first", "quoted first"])
async def test_a_key_joins_the_same_run_quoted_and_bare_by_every_way(
    server: TestServer, person: Person, first: By, second: By, keys: tuple[str, str]
) -> None:
    made = await run_of(first, server, person, keys[0])
    joined = await run_of(second, server, person, keys[1])

    assert joined == made
    assert (await person.client.get("/api/credits")).json()["balance"] == 999
    assert len((await person.client.get("/api/runs")).json()["runs"]) == 1


async def test_one_key_sent_by_all_ways_at_once_is_one_run(server: TestServer, person: Person) -> None:
    before = await server.counts()

    runs = await asyncio.gather(
        *(run_of(by, server, person, key) for by, key, _ in product(By, (BARE, QUOTED), range(2)))
    )

    after = await server.counts()
    assert len(set(runs)) == 1
    assert (after["runs"], after["ledger"]) == (before["runs"] + 1, before["ledger"] + 2)
    assert after["request_keys"] == before["request_keys"] + 1


@pytest.mark.parametrize("by", By)
async def test_another_order_under_a_quoted_key_is_refused(
    server: TestServer, person: Person, by: By
) -> None:
    await run_of(By.HTTP, server, person, BARE)
    before = await server.counts()

    told: Told = await order(by, server, person, {"chunks": ["b"]}, key=QUOTED)

    assert told.code == "key_conflict"
    assert await server.counts() == before


@pytest.mark.parametrize("key", ['"', 'a"', '"a', '""a""'])
async def test_a_quote_that_is_no_pair_is_part_of_the_key(
    server: TestServer, person: Person, key: str
) -> None:
    inner = key.strip('"') or "nothing"

    runs = {await run_of(By.HTTP, server, person, each) for each in (key, inner)}

    assert len(runs) == 2


async def test_a_repeated_order_whose_end_cannot_be_read_says_where_its_run_is(database_url: str) -> None:
    async with (
        forgetting(database_url) as network,
        running_server(network.url) as server,
        server.person() as person,
    ):
        made = await person.execute(INPUT, headers={"Idempotency-Key": BARE})
        network.forget(Loss("switchyard_runs_get"))
        again = await person.execute(INPUT, headers={"Idempotency-Key": BARE})

    assert network.forgotten["switchyard_runs_get"] == 1
    assert (again.status_code, again.json()["runId"]) == (202, made.json()["runId"])
