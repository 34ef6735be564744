"""What can be asked of a run: its state, its events from any number, its receipt, its files, its end."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from routing.answers import Agents, Credits, EventsPage, Receipt, Run, RunsPage
from tests.support.server import Document, Person, TestServer, assert_problem, messages

JSON = {"Accept": "application/json"}
LONG = {"chunks": list("abcdefgh")}
RUN_ROUTES = [
    ("GET", ""),
    ("GET", "/events"),
    ("GET", "/events?after=1"),
    ("GET", "/receipt"),
    ("GET", "/artifacts/a.txt"),
    ("POST", "/cancel"),
]


async def page(person: Person, run_id: str, query: str = "") -> Document:
    answer = await person.client.get(f"/api/runs/{run_id}/events{query}", headers=JSON)
    assert answer.status_code == 200, answer.text
    document: Document = answer.json()
    EventsPage.model_validate(document)
    return document


@pytest.mark.parametrize(("method", "route"), RUN_ROUTES)
async def test_a_run_of_somebody_else_reads_as_unknown(
    server: TestServer, person: Person, method: str, route: str
) -> None:
    async with server.person() as other:
        run_id = await other.ended({"chunks": ["mine"], "files": {"a.txt": "mine"}})
    answers = [
        await person.client.request(method, f"/api/runs/{each}{route}")
        for each in (run_id, uuid4(), "no-run-at-all", "{00000000-0000-4000-a000-000000000001}")
    ]

    documents = [{**assert_problem(each, 404, "run_not_found"), "requestId": ""} for each in answers]
    assert all(document == documents[0] for document in documents)


async def test_a_run_tells_how_it_went(person: Person) -> None:
    run_id = await person.ended({"chunks": ["a"], "files": {"a.txt": "file"}})

    document = (await person.client.get(f"/api/runs/{run_id}")).json()

    run = Run.model_validate(document)
    assert (run.status, run.response, run.credits_used, run.last_seq) == ("succeeded", "a", 1, 4)
    assert document["createdAt"].endswith("Z")
    assert run.artifacts is not None
    assert run.artifacts[0].size == 4


async def test_the_list_goes_page_by_page_from_the_newest(person: Person) -> None:
    made = [await person.ended() for _ in range(5)]

    first = (await person.client.get("/api/runs?limit=2")).json()
    second = (await person.client.get(f"/api/runs?limit=2&before={first['next']}")).json()
    third = (await person.client.get(f"/api/runs?limit=2&before={second['next']}")).json()

    pages = [RunsPage.model_validate(each) for each in (first, second, third)]
    assert [str(run.run_id) for each in pages for run in each.runs] == made[::-1]
    assert third["next"] is None


async def test_a_user_sees_their_own_runs_only(server: TestServer, person: Person) -> None:
    await person.ended()
    async with server.person() as other:
        assert (await other.client.get("/api/runs")).json() == {"runs": [], "next": None}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=many"])
async def test_a_page_has_one_to_a_hundred_runs(person: Person, query: str) -> None:
    problem = assert_problem(await person.client.get(f"/api/runs?{query}"), 400, "invalid_request")

    assert problem["detail"].startswith("limit: ")


async def test_a_page_before_no_run_is_refused(person: Person) -> None:
    assert_problem(await person.client.get("/api/runs?before=yesterday"), 400, "bad_cursor")


async def test_every_number_gives_the_same_tail(person: Person) -> None:
    run_id = await person.ended(LONG)
    url = f"/api/runs/{run_id}/events"
    whole = messages((await person.client.get(url)).text)

    assert [each["seq"] for each in whole] == list(range(1, len(whole) + 1))
    for after in range(len(whole)):
        by_query = await person.client.get(f"{url}?after={after}")
        by_header = await person.client.get(url, headers={"Last-Event-ID": str(after)})
        as_json = await page(person, run_id, f"?after={after}")
        assert messages(by_query.text) == messages(by_header.text) == as_json["events"] == whole[after:]


async def test_pages_joined_are_the_whole_log(person: Person) -> None:
    run_id = await person.ended(LONG)
    whole = (await page(person, run_id))["events"]

    joined: list[Document] = []
    while len(joined) < len(whole):
        joined += (await page(person, run_id, f"?after={len(joined)}&limit=3"))["events"]

    assert joined == whole


@pytest.mark.parametrize("headers", [{}, JSON])
async def test_after_the_terminal_event_there_is_nothing(person: Person, headers: dict[str, str]) -> None:
    run_id = await person.ended()
    latest = (await page(person, run_id))["latest"]

    answer = await person.client.get(f"/api/runs/{run_id}/events?after={latest}", headers=headers)

    assert answer.status_code == 204
    assert answer.content == b""


async def test_the_header_of_a_reconnecting_browser_counts(person: Person) -> None:
    run_id = await person.ended(LONG)

    answer = await person.client.get(f"/api/runs/{run_id}/events?after=0", headers={"Last-Event-ID": "5"})

    assert messages(answer.text)[0]["seq"] == 6


@pytest.mark.parametrize("after", ["99", "-1", "x", "1.0", "٣", "2147483648", "99999999999999999999"])
async def test_a_number_no_event_has_is_refused(person: Person, after: str) -> None:
    run_id = await person.ended()

    for headers in ({}, JSON):
        answer = await person.client.get(
            f"/api/runs/{run_id}/events", params={"after": after}, headers=headers
        )
        assert_problem(answer, 400, "bad_cursor")


async def test_a_stream_joined_half_way_goes_on_to_the_end(server: TestServer, person: Person) -> None:
    run_id = await person.started({"chunks": ["a", "b"], "gate": "half-way"})
    reading = asyncio.create_task(person.client.get(f"/api/runs/{run_id}/events?after=1"))
    # Before the second event is there, nobody can have seen it.
    await page(person, run_id, "?after=1&wait=10")
    long_poll = await page(person, run_id, "?after=2&wait=10")
    server.echo.gates["half-way"].set()

    told = messages((await reading).text)

    assert [each["seq"] for each in told] == list(range(2, 2 + len(told)))
    assert told[-1]["type"] == "done"
    assert long_poll["events"] == told[1 : 1 + len(long_poll["events"])]


async def test_a_long_poll_answers_when_something_happens(server: TestServer, person: Person) -> None:
    run_id = await person.started({"gate": "poll"})
    polling = asyncio.create_task(page(person, run_id, "?after=1&wait=30"))
    server.echo.gates["poll"].set()

    found = await asyncio.wait_for(polling, 10)

    assert [each["type"] for each in found["events"]] == ["done"]
    assert found["isTerminal"]


async def test_a_long_poll_in_which_nothing_happens_is_an_empty_page(
    server: TestServer, person: Person
) -> None:
    run_id = await person.started({"gate": "silence"})

    found = await page(person, run_id, "?after=1&wait=1")

    assert (found["events"], found["isTerminal"], found["latest"]) == ([], False, 1)
    server.echo.gates["silence"].set()


async def test_a_long_poll_lasts_a_minute_at_most(person: Person) -> None:
    run_id = await person.ended()
    answer = await person.client.get(f"/api/runs/{run_id}/events?wait=61", headers=JSON)

    assert_problem(answer, 400, "invalid_request")


async def test_a_running_run_is_cancelled(person: Person) -> None:
    run_id = await person.started({"chunks": ["a"], "gate": "never"})

    answer = await person.client.post(f"/api/runs/{run_id}/cancel")
    stream = await person.client.get(f"/api/runs/{run_id}/events")
    again = await person.client.post(f"/api/runs/{run_id}/cancel")

    assert answer.status_code == 202
    assert messages(stream.text)[-1]["code"] == "cancelled"
    assert again.status_code == 200
    assert Run.model_validate(again.json()).status == "cancelled"


async def test_a_queued_run_is_cancelled_and_costs_nothing(server: TestServer, person: Person) -> None:
    run_id = await person.started({"gate": "never"})
    await person.client.post(f"/api/runs/{run_id}/cancel")
    queued = await queued_run(server, person)

    answer = await person.client.post(f"/api/runs/{queued}/cancel")

    assert answer.status_code == 202
    run = answer.json()
    assert (run["status"], run["creditsUsed"]) == ("cancelled", 0)


async def queued_run(server: TestServer, person: Person) -> str:
    """A run of a kind that nobody executes, so that it stays in the queue."""
    run_id = uuid4()
    await server.sql.execute(
        'select public.switchyard_runs_submit($1, $2, null, \'{"kind": "idle", "name": "idle"}\', \'[]\','
        " '{}', null, null, '{}', null, null, 'backend', 1, null, 3600, null, $3, 5)",
        run_id,
        person.id,
        uuid4(),
    )
    return str(run_id)


async def test_an_ended_run_is_not_cancelled_any_more(person: Person) -> None:
    run_id = await person.ended({"chunks": ["a"]})

    answer = await person.client.post(f"/api/runs/{run_id}/cancel")

    assert answer.status_code == 200
    assert answer.json()["status"] == "succeeded"


async def test_a_waiting_caller_learns_of_the_cancellation(server: TestServer, person: Person) -> None:
    waiting = asyncio.create_task(person.execute({"gate": "never"}))
    runs: list[Document] = []
    async with asyncio.timeout(5):
        while not runs:
            runs = (await person.client.get("/api/runs")).json()["runs"]
    await person.client.post(f"/api/runs/{runs[0]['runId']}/cancel")

    assert_problem(await waiting, 409, "cancelled")


async def test_the_receipt_says_what_was_held_and_charged(person: Person) -> None:
    run_id = await person.ended({"chunks": ["a"]})

    receipt = Receipt.model_validate((await person.client.get(f"/api/runs/{run_id}/receipt")).json())

    assert (receipt.held, receipt.charged, receipt.attempts) == (1, 1, 1)
    assert [entry.kind for entry in receipt.entries] == ["hold", "settle"]
    assert [step.name for step in receipt.steps] == ["say"]
    assert receipt.usage == {"toolCalls": 1}


async def test_a_file_is_given_to_be_saved_and_cannot_script(person: Person) -> None:
    drawing = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    run_id = await person.ended({"files": {"chart ü.svg": drawing}})
    run = (await person.client.get(f"/api/runs/{run_id}")).json()

    answer = await person.client.get(run["artifacts"][0]["url"])

    assert answer.text == drawing
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''chart%20%C3%BC.svg"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_file_the_run_did_not_make_is_unknown(person: Person) -> None:
    run_id = await person.ended()

    for name in ("nothing.txt", "../../etc/passwd", "a%2Fb", "%2e%2e"):
        answer = await person.client.get(f"/api/runs/{run_id}/artifacts/{name}")
        assert answer.status_code == 404, name


async def test_the_account_is_shown(person: Person) -> None:
    await person.ended({"chunks": ["a"]})

    account = Credits.model_validate((await person.client.get("/api/credits")).json())

    assert (account.balance, account.held, account.available) == (999, 0, 999)
    assert (account.plan, account.used_this_month) == ("enterprise", 1)


async def test_agents_are_ones_own_and_the_published_ones(server: TestServer, person: Person) -> None:
    async with server.person() as other:
        published = await server.agent(other.id, is_published=True)

        found = Agents.model_validate((await person.client.get("/api/agents")).json()).agents

        by_id = {agent.id: agent for agent in found}
        assert by_id[person.agent_id].is_own
        assert not by_id[published].is_own
        assert other.agent_id not in by_id
