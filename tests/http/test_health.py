"""What platforms and operators are told: alive, ready, the figures, and only to whom they belong."""

from __future__ import annotations

import pytest

from routing.answers import AgentHealth, Alive, Ready, WholeHealth
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.server import METRICS_TOKEN, TestServer, assert_problem, running_server, until

METRICS = {"authorization": f"Bearer {METRICS_TOKEN}"}


async def test_a_healthy_server_says_so(server: TestServer) -> None:
    async with server.client() as probe:
        assert Alive.model_validate((await probe.get("/health/liveness")).json()).status == "alive"
        for path in ("/health/readiness", "/health/ready"):
            ready = Ready.model_validate((await probe.get(path)).json())
            assert (ready.status, ready.checks["database"]) == ("ready", "ok")
        whole = WholeHealth.model_validate((await probe.get("/health")).json())
        capacity = AgentHealth.model_validate((await probe.get("/api/agent/health")).json()).capacity

    assert (whole.status, whole.service) == ("healthy", "switchyard")
    assert (capacity.active, capacity.slots, capacity.free) == (0, 32, 32)


async def test_a_probe_may_ask_without_a_body(server: TestServer) -> None:
    async with server.client() as probe:
        answer = await probe.head("/health/readiness")

    assert (answer.status_code, answer.content) == (200, b"")


async def test_the_capacity_counts_what_runs(server: TestServer) -> None:
    async with server.person() as person:
        await person.started({"gate": "busy"})

        capacity = (await person.client.get("/api/agent/health")).json()["capacity"]

        assert capacity["free"] == capacity["slots"] - capacity["active"] == 31
        server.echo.gates["busy"].set()


async def test_without_its_database_a_server_lives_but_is_not_ready(database_server: DatabaseServer) -> None:
    url = await fresh_database(database_server)
    async with running_server(url) as server, server.person() as person:
        await drop(database_server, url)

        async def is_not_ready() -> bool:
            return (await person.client.get("/health/readiness")).status_code == 503

        await until(is_not_ready)
        ready = Ready.model_validate((await person.client.get("/health/readiness")).json())
        whole = await person.client.get("/health")
        edge = await person.client.get("/api/agent/health")
        alive = await person.client.get("/health/liveness")

        assert ready.status == "not_ready"
        assert ready.checks["database"] != "ok"
        assert (whole.status_code, whole.json()["status"]) == (503, "unhealthy")
        assert edge.status_code == 503
        assert alive.status_code == 200


async def test_a_draining_server_is_not_ready(database_server: DatabaseServer) -> None:
    url = await fresh_database(database_server)
    async with running_server(url) as server, server.client() as probe:
        server.backend.health.begin_draining()

        ready = (await probe.get("/health/ready")).json()

    assert "draining" in ready["checks"]
    await drop(database_server, url)


@pytest.mark.parametrize("path", ["/metrics", "/metrics/summary"])
@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer x", METRICS_TOKEN, f"Bearer {METRICS_TOKEN}x"])
async def test_the_figures_are_not_for_everybody(server: TestServer, path: str, sent: str) -> None:
    async with server.client(**({"authorization": sent} if sent else {})) as stranger:
        answer = await stranger.get(path)

    assert_problem(answer, 401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_user_is_no_operator(server: TestServer) -> None:
    async with server.person() as person:
        assert_problem(await person.client.get("/metrics"), 401, "invalid_token")


async def test_without_a_token_the_figures_are_open(database_server: DatabaseServer) -> None:
    url = await fresh_database(database_server)
    async with running_server(url, metrics_token=None) as server, server.client() as anybody:
        assert (await anybody.get("/metrics")).status_code == 200
    await drop(database_server, url)


async def test_requests_are_counted_under_the_template_of_their_route(server: TestServer) -> None:
    async with server.person() as person:
        run_id = await person.ended()
        await person.client.get(f"/api/runs/{run_id}/receipt")
        await person.client.get("/never/heard/of")
        text = (await person.client.get("/metrics", headers=METRICS)).text

    counted = 'http_requests_total{method="GET",route="/api/runs/{run_id}/receipt",status="200"}'
    assert counted in text
    assert 'http_requests_total{method="GET",route="unmatched",status="404"}' in text
    assert run_id not in text
    assert str(person.id) not in text
    assert "heard" not in text


async def test_the_summary_adds_up(server: TestServer) -> None:
    async with server.person() as person:
        await person.ended()
        summary = (await person.client.get("/metrics/summary", headers=METRICS)).json()

    assert summary["requests"]["total"] >= 1
    assert summary["latencyMs"]["p50"] > 0
    assert summary["runs"]["succeeded"] >= 1
