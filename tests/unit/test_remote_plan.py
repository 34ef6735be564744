"""Which runs go to another backend, what that is sent, and what is refused as it cannot be done there."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from foundation.clock import SystemClock
from foundation.errors import InvalidBody, NotConfigured
from foundation.identity import run_tokens_of
from foundation.outbound import Outbound
from foundation.settings import Settings
from foundation.telemetry import Metrics
from heavy_agents.agents import Forwarding
from heavy_agents.agents.remote.plan import body_of, check, target_of
from heavy_agents.runs import AgentSnapshot, Message, RunRequest, Sender
from routing.models import ValidatedBody
from tests.support.forwarding import as_pem, fresh_key

OTHER = "https://other.example"
KEY = as_pem(fresh_key())
ID = UUID("00000000-0000-4000-a000-00000000cafe")
USER = UUID("3d1f7c1a-6a52-4e2b-8f0b-7a5f3c9d2e10")


# Any: columns of an agent's row.
def snapshot(**row: Any) -> AgentSnapshot:
    columns = {"id": str(ID), "name": "A", "kind": "chat", "is_heavy": True, "railway_url": OTHER}
    return AgentSnapshot.from_json({**columns, **row})


# Any: as above.
def request(messages: tuple[Message, ...] = (Message("user", "hello"),), **row: Any) -> RunRequest:
    return RunRequest(messages, {}, snapshot(**row))


@pytest.mark.parametrize("written", [OTHER, f"{OTHER}/", f"{OTHER}:443", "HTTPS://Other.Example"])
def test_an_allowed_backend_is_where_it_goes(written: str) -> None:
    assert target_of(snapshot(railway_url=written), {OTHER}) == OTHER


@pytest.mark.parametrize(
    "row",
    [
        {"railway_url": None},
        {"railway_url": ""},
        {"railway_url": 7},
        {"railway_url": "https://evil.example"},
        {"railway_url": f"{OTHER}.evil.example"},
        {"railway_url": "https://evil.example#@other.example"},
        {"railway_url": "http://other.example"},
        {"is_heavy": False},
        {"is_heavy": None},
    ],
)
def test_anything_else_is_executed_here(row: dict[str, Any]) -> None:
    assert target_of(snapshot(**row), {OTHER}) is None


def test_what_was_sent_along_goes_nowhere_else() -> None:
    """Whoever sends an agent along cannot send its run on."""
    sender = Sender("https://near.example", ID, 300)
    for given_by in (None, sender):
        agent = AgentSnapshot.given(ID, {"name": "A"}, price=None, sender=given_by)
        assert target_of(agent, {OTHER}) is None


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"kind": "forecast"}, "chat agents"),
        ({"tools": ["now"]}, "no tools"),
        ({"config": {"output_schema": {"type": "object"}}}, "output_schema"),
        ({"config": {"token_budget": 5}}, "token_budget"),
        ({"temperature": 1.5}, "temperature"),
        ({"max_tokens": 99}, "100 to 4000"),
        ({"max_tokens": 4001}, "100 to 4000"),
        ({"ai_model": "m" * 201}, "ai_model"),
        ({"knowledge_base": "all"}, "knowledge_base"),
    ],
)
def test_what_could_not_be_done_there_is_refused(row: dict[str, Any], says: str) -> None:
    with pytest.raises(NotConfigured, match=says):
        check(request(**row))


def test_nothing_asked_is_refused() -> None:
    with pytest.raises(InvalidBody):
        check(request((Message("system", "hello"),)))


@pytest.mark.parametrize(
    ("variables", "says"),
    [({"PUBLIC_URL": "https://us.example"}, "FORWARDING_KEY"), ({"FORWARDING_KEY": KEY}, "PUBLIC_URL")],
)
def test_without_a_key_or_a_name_it_is_refused(variables: dict[str, Any], says: str) -> None:
    settings = Settings(_env_file=None, ALLOWED_BACKENDS=(OTHER,), **variables)
    clock = SystemClock()
    forwarding = Forwarding(
        settings,
        tokens=run_tokens_of(settings, clock=clock),
        outbound=Outbound(),
        metrics=Metrics(),
        clock=clock,
    )

    assert forwarding.target(snapshot()) == OTHER
    with pytest.raises(NotConfigured, match=f"{says} is not set"):
        forwarding.check(request())


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"name": ""},
        {"name": "n" * 500},
        {"temperature": 1, "max_tokens": 4000, "ai_model": "m" * 200, "system_prompt": "Be kind."},
        {"knowledge_base": [{"content": "Nine to five.", "id": 7}, {"title": "t", "content": ""}]},
        {"config": {"deadline_s": 60, "max_turns": 3}},
    ],
)
def test_what_is_sent_is_what_is_taken(row: dict[str, Any]) -> None:
    check(request(**row))

    sent = body_of(snapshot(**row), [Message("user", "hello")], user_id=USER)

    taken = ValidatedBody.model_validate(sent)
    assert (taken.user_id, taken.agent_id, taken.stream) == (USER, ID, True)
    assert taken.agent_config.name
