"""An agent this server has seen before is never taken for what it was: its row counts, at every run."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.support.server import Document, Person, TestServer, assert_problem


async def run_of(server: TestServer, run_id: str) -> Document:
    row = await server.sql.fetchrow(
        "select hold_credits, agent from switchyard.runs where id = $1", UUID(run_id)
    )
    assert row is not None
    return dict(row)


async def test_a_run_keeps_what_its_agent_says_now(server: TestServer, person: Person) -> None:
    before = await run_of(server, await person.ended())
    await server.sql.execute(
        "update public.agents set price = $2, name = 'Renamed' where id = $1", person.agent_id, {"flat": 7}
    )

    after = await run_of(server, await person.ended())

    assert (before["hold_credits"], after["hold_credits"]) == (1, 7)
    assert (after["agent"]["price"], after["agent"]["name"]) == ({"flat": 7}, "Renamed")


@pytest.mark.parametrize("input_", [{}, {"chunks": "no list"}])
async def test_an_agent_that_was_taken_back_is_unknown_to_others(
    server: TestServer, person: Person, input_: Document
) -> None:
    async with server.person() as stranger:
        shared = await server.agent(person.id, is_published=True)
        assert (await stranger.execute({}, agentId=str(shared))).status_code == 200
        await server.sql.execute("update public.agents set is_published = false where id = $1", shared)

        assert_problem(await stranger.execute(input_, agentId=str(shared)), 404, "agent_not_found")
        # Its owner may go on, which this server then remembers.
        assert (await person.execute({}, agentId=str(shared))).status_code == 200
        assert_problem(await stranger.execute(input_, agentId=str(shared)), 404, "agent_not_found")


async def test_an_agent_that_was_deleted_is_unknown(server: TestServer, person: Person) -> None:
    await person.ended()
    await server.sql.execute("delete from public.agents where id = $1", person.agent_id)

    assert_problem(await person.execute(), 404, "agent_not_found")
