"""Twelve kinds of malformed input, and what is left of them: a refusal that says why, and nothing else."""

from __future__ import annotations

from unittest.mock import patch

from routing.models import BODIES
from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.ground import Ground
from tests.support.malformed import CATEGORIES, Given, Siege
from tests.support.process import ServerProcess
from tests.support.series import forecast_body
from tests.support.state import State

__all__ = ["FAULT", "ignore_strangers", "let_anything_in"]

SECRET = "the-service-secret-of-malformed-inputs"
ALARMS = ("error", "critical", "traceback", "exception")


async def perform(ground: Ground, findings: Findings) -> None:
    """N of each kind. A hit is an input that was sent, and after which the whole database was looked at."""
    log_file = ground.folder / "log"
    async with ground.replica(log_file=log_file, RAILWAY_BACKEND_SECRET=SECRET) as server:
        siege = Siege(
            str(server.client.base_url).rstrip("/"), await _given(ground, server), await State.of(ground.sql)
        )
        seed = ground.dice.getrandbits(32)
        for category in CATEGORIES:
            async for mistakes in siege.wrong(category, count=ground.n, seed=seed):
                findings.hit()
                for mistake in mistakes:
                    findings.violated(mistake)
        findings.expect(await server.is_ready(), "the server is not ready any more")
    for line in log_file.read_text(errors="replace").splitlines():
        findings.expect(not any(word in line.lower() for word in ALARMS), f"the log says: {line[:300]}")
    findings.figure("kinds", len(CATEGORIES))


async def _given(ground: Ground, server: ServerProcess) -> Given:
    """Somebody who can pay for every order that slips through, and one of each thing that is asked for."""
    person = await ground.person()
    agent, forecaster = await ground.agent(person), await ground.agent(person, kind="forecast")
    token = ground.token(person)
    client, headers = server.client, {"Authorization": f"Bearer {token}"}
    body = {**forecast_body(points=60), "agentId": str(forecaster)}
    ended = await client.post("/api/agent/execute", json=body, headers=headers)
    begun = await client.post("/api/conversations", json={}, headers=headers)
    return Given(
        token=token,
        secret=SECRET,
        user_id=str(person),
        run_id=ended.json()["runId"],
        agent_id=str(agent),
        forecaster_id=str(forecaster),
        conversation_id=begun.json()["conversationId"],
    )


def let_anything_in() -> None:
    """Take bodies without a look at their letters and their depth."""
    patch("routing.bodies.first_mistake", lambda _: None).start()


def ignore_strangers() -> None:
    """Pass over fields that a body has none of."""
    patch("routing.bodies.unknown_fields", lambda *_: []).start()
    for model in BODIES:
        model.model_config["extra"] = "ignore"
        model.model_rebuild(force=True)


FAULT = Fault(
    name="malformed",
    promise="12 kinds of malformed input: each refused by a problem that names the field, nothing changed",
    full_n=500,
    small_n=8,
    perform=perform,
    mutations=(
        Mutation(
            "any-letters",
            removes="the look for NUL characters and depth in a body",
            patch="tests.hardening.faults.malformed:let_anything_in",
        ),
        Mutation(
            "any-fields",
            removes="the refusal of fields that a body does not have",
            patch="tests.hardening.faults.malformed:ignore_strangers",
            n=40,
        ),
    ),
)
