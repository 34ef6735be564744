"""What an agent has cost, asked by its owner; nobody else gets to know that it exists."""

from __future__ import annotations

from uuid import uuid4

from routing.answers import AgentMetrics
from tests.support.server import SERVICE_SECRET, Person, TestServer, assert_problem

ROUTE = "/api/agent/metrics"


async def test_an_agent_nobody_has_run_has_cost_nothing(person: Person) -> None:
    answer = await person.client.get(f"{ROUTE}/{person.agent_id}")

    assert answer.json() == {"totalCredits": 0, "totalCalls": 0, "recentUsage": []}


async def test_runs_are_told_with_the_newest_first(person: Person) -> None:
    runs = [await person.ended() for _ in range(2)]

    answer = await person.client.get(f"{ROUTE}/{person.agent_id}")

    found = AgentMetrics.model_validate_json(answer.content)
    assert (found.total_credits, found.total_calls) == (2, 2)
    assert [str(use.run_id) for use in found.recent_usage] == runs[::-1]
    newest = answer.json()["recentUsage"][0]
    assert newest.pop("createdAt").endswith("Z")
    assert newest == {
        "creditsUsed": 1,
        "operationType": "agent_execution",
        "runId": runs[1],
        "status": "succeeded",
    }


async def test_an_owner_does_not_learn_who_else_ran_the_agent(server: TestServer, person: Person) -> None:
    agent = await server.agent(person.id, is_published=True)
    async with server.person() as other:
        run = (await other.execute(agentId=str(agent))).json()["runId"]

    answer = await person.client.get(f"{ROUTE}/{agent}")

    assert AgentMetrics.model_validate_json(answer.content).total_calls == 1
    assert str(other.id) not in answer.text
    assert run not in answer.text


async def test_an_agent_that_is_not_ones_own_reads_as_unknown(server: TestServer, person: Person) -> None:
    async with server.person() as other:
        published = await server.agent(other.id, is_published=True)
        answers = [
            await person.client.get(f"{ROUTE}/{each}")
            for each in (other.agent_id, published, uuid4(), "no-agent", f"{{{person.agent_id}}}")
        ]

    documents = [{**assert_problem(each, 404, "agent_not_found"), "requestId": ""} for each in answers]
    assert all(document == documents[0] for document in documents)


async def test_a_deleted_agent_reads_as_unknown(server: TestServer, person: Person) -> None:
    await person.ended()
    await server.sql.execute("delete from public.agents where id = $1", person.agent_id)

    assert_problem(await person.client.get(f"{ROUTE}/{person.agent_id}"), 404, "agent_not_found")


async def test_an_edge_function_asks_for_the_user_it_speaks_for(server: TestServer, person: Person) -> None:
    async with server.client() as edge, server.person() as other:
        service = {"x-railway-secret": SERVICE_SECRET}
        address = f"{ROUTE}/{person.agent_id}"
        own = await edge.get(address, headers={**service, "x-user-id": str(person.id)})
        foreign = await edge.get(address, headers={**service, "x-user-id": str(other.id)})

    assert own.status_code == 200
    assert_problem(foreign, 404, "agent_not_found")


async def test_nobody_asks_without_saying_who_they_are(server: TestServer, person: Person) -> None:
    async with server.client() as stranger:
        assert_problem(await stranger.get(f"{ROUTE}/{person.agent_id}"), 401, "invalid_token")
