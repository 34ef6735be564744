"""A token in the address of a run's events, as a browser's `EventSource` sends it, and nowhere else."""

from __future__ import annotations

from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from tests.support.server import METRICS_TOKEN, ORIGIN, Person, TestServer, assert_problem, messages


async def test_a_browser_reads_events_with_a_token_in_the_address(server: TestServer, person: Person) -> None:
    run_id = await person.ended()
    whole = await person.client.get(f"/api/runs/{run_id}/events")
    async with server.client(origin=ORIGIN, accept="text/event-stream") as browser:
        answer = await browser.get(f"/api/runs/{run_id}/events", params={"token": person.token})
        rest = await browser.get(
            f"/api/runs/{run_id}/events",
            params={"after": 0, "token": person.token},
            headers={"Last-Event-ID": "1"},
        )

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert messages(answer.text) == messages(whole.text)
    assert messages(rest.text) == messages(whole.text)[1:]


@pytest.mark.parametrize("method_path", ["GET /api/runs/{}", "GET /api/credits", "POST /api/runs/{}/cancel"])
async def test_no_other_path_takes_one(server: TestServer, person: Person, method_path: str) -> None:
    method, path = method_path.split()
    run_id = await person.ended()
    async with server.client() as browser:
        answer = await browser.request(method, path.format(run_id), params={"token": person.token})

    assert_problem(answer, 401, "invalid_token")


async def test_a_token_in_the_address_is_proved_as_any_other(server: TestServer, person: Person) -> None:
    run_id = await person.ended()
    stranger = server.forge.token(uuid4())
    events = f"/api/runs/{run_id}/events"
    async with server.client() as browser:
        assert_problem(await browser.get(events), 401, "invalid_token")
        assert_problem(await browser.get(events, params={"token": ""}), 401, "invalid_token")
        assert_problem(await browser.get(events, params={"token": "é\r\nx: y"}), 401, "invalid_token")
        assert_problem(await browser.get(events, params={"token": person.token[:-9]}), 401, "invalid_token")
        assert_problem(await browser.get(events, params={"token": stranger}), 404, "run_not_found")


async def test_the_same_token_in_both_places_is_one_and_another_is_a_conflict(
    server: TestServer, person: Person
) -> None:
    events = f"/api/runs/{await person.ended()}/events"
    other = server.forge.token(uuid4())
    same = await person.client.get(events, params={"token": person.token})
    differing = await person.client.get(events, params={"token": other})
    async with server.client() as browser:
        two = await browser.get(events, params={"token": [person.token, other]})

    assert same.status_code == 200
    assert_problem(differing, 400, "conflicting_credentials")
    assert_problem(two, 400, "conflicting_credentials")


async def test_no_log_line_no_metric_and_no_refusal_holds_the_token(
    server: TestServer, person: Person, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = await person.ended()
    events = f"/api/runs/{run_id}/events"
    with capture_logs() as lines, caplog.at_level("DEBUG"):
        async with server.client() as browser:
            answers = [
                await browser.get(events, params={"token": person.token}),
                await browser.get(events, params={"token": person.token, "wait": "x"}),
                await browser.get(f"/api/runs/1/events?token={person.token}&after=y"),
                await browser.post(events, params={"token": person.token}),
            ]
            metrics = await browser.get("/metrics", headers={"authorization": f"Bearer {METRICS_TOKEN}"})

    assert [each.status_code for each in answers] == [200, 400, 404, 405]
    assert sum(line["event"] == "request" for line in lines) == len(answers) + 1
    # What the client of this test writes about its own requests is not ours.
    ours = [each.getMessage() for each in caplog.records if not each.name.startswith("http")]
    said = [*map(str, lines), *ours, metrics.text, *(each.text for each in answers)]
    assert not any(person.token in each or person.token[-40:] in each for each in said)


async def test_the_description_offers_it_for_the_events_alone(server: TestServer) -> None:
    async with server.client() as client:
        described = (await client.get("/openapi.json")).json()

    taking = [
        (method, path)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if {"token": []} in operation.get("security", [])
    ]
    assert taking == [("get", "/api/runs/{run_id}/events")]
