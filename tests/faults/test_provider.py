"""A model provider that fails in every way known: the run ends right, asks seldom, and charges no fault.

All faults of a group happen at once, each to a run and an agent of its own whose model's name chooses the
fault. Only a few that are tried again go together, because a process has only so many retries to spend.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from foundation.errors import Json
from heavy_agents.llm import estimate_tokens
from tests.support.audit import audit, begun_calls, counted_lost, sold
from tests.support.chat import KEY, ChatServer, ask, chatting
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.model import Asked
from tests.support.provider_cases import FAULTY_ENDINGS, GROUPS, PRICE, TEXT, Case, down
from tests.support.server import METRICS_TOKEN, Document, Person

SECRETS = ("a secret of the provider", "canary", KEY)
HASTY = {"model_first_token_seconds": 2, "model_silence_seconds": 1, "model_turn_seconds": 5}
DOWN = 30


@pytest.fixture
async def chat(database_server: DatabaseServer) -> AsyncIterator[ChatServer]:
    """A server of the test's own: what it may retry is full, its numbers are zero."""
    url = await fresh_database(database_server)
    async with chatting(url, **HASTY) as running:
        yield running
    await drop(database_server, url)


@dataclass(frozen=True)
class Outcome:
    """What a client has of one run, and what the provider was asked."""

    case: Case
    messages: list[Document]
    receipt: Document
    run: Document
    calls: list[Asked]

    @property
    def last(self) -> Document:
        return self.messages[-1]

    @property
    def text(self) -> str:
        return "".join(message["content"] for message in self.messages if message["type"] == "chunk")

    @property
    def tokens(self) -> int:
        used = self.last["usage"]
        return int(used["inputTokens"] + used["outputTokens"])


async def suffer(chat: ChatServer, cases: list[Case]) -> list[Outcome]:
    """All of them at once, to the end and until the provider is rid of every call."""
    await chat.model.play(*(rule for case in cases for rule in case.rules(case.name)))
    async with chat.server.person(balance=100_000) as person:
        agents = [await chat.agent(person.id, price=PRICE, ai_model=case.name) for case in cases]
        told = await asyncio.gather(*(_ask(person, agent_id) for agent_id in agents))
    await chat.model.log.until_ended(len(chat.model.log.calls))
    return [
        Outcome(case, *each, [call for call in chat.model.log.calls if call.model == case.name])
        for case, each in zip(cases, told, strict=True)
    ]


async def _ask(person: Person, agent_id: UUID) -> tuple[list[Document], Document, Document]:
    messages = await ask(person, agent_id, "how are you today")
    run_id = messages[0]["runId"]
    receipt = (await person.client.get(f"/api/runs/{run_id}/receipt")).json()
    return messages, receipt, (await person.client.get(f"/api/runs/{run_id}")).json()


def mistakes(found: Outcome) -> list[str]:
    """What is wrong with an outcome; nothing, if all is well."""
    case, last = found.case, found.last
    least, most = case.calls
    checks = {
        f"it ended as {last.get('code')}": last.get("code") == case.code,
        f"{len(found.calls)} calls": least <= len(found.calls) <= most,
        "the numbering": [each["seq"] for each in found.messages] == list(range(1, len(found.messages) + 1)),
        "the text is none of the answer": TEXT.startswith(found.text),
        "what came is not shown": not case.is_shown or found.text != "",
        "the terminal event has another text": (last["response"] or "") == found.text,
        "the run has another charge": found.run["creditsUsed"] == found.receipt["charged"],
        "one hold, one end": len(found.receipt["entries"]) == 2,
    }
    return [f"{case.name}: {what}" for what, holds in {**checks, **_money(found)}.items() if not holds]


def _money(found: Outcome) -> dict[str, bool]:
    case, charged = found.case, found.receipt["charged"]
    if case.code is not None:
        return {f"charged {charged}": charged == 0}
    return {
        f"charged {charged}": charged == 1 + found.tokens,
        # Tries that came to nothing are the platform's.
        f"{found.tokens} tokens": found.tokens == _tokens(found.calls[-1], is_estimated=case.is_estimated),
        "the whole text": found.text == TEXT,
    }


def _tokens(call: Asked, *, is_estimated: bool) -> int:
    assert call.tokens is not None
    if not is_estimated:
        return int(call.tokens["total_tokens"])
    said: list[dict[str, Json]] = call.body["messages"]
    return estimate_tokens(said) + estimate_tokens(TEXT)


async def metrics(chat: ChatServer) -> str:
    async with chat.server.client(authorization=f"Bearer {METRICS_TOKEN}") as client:
        return (await client.get("/metrics")).text


def written(entries: list[Any], records: list[logging.LogRecord]) -> str:
    """All that was logged, causes included. Any: entries as structlog has them."""
    errors = [entry["exc_info"] for entry in entries if isinstance(entry.get("exc_info"), BaseException)]
    traces = ["".join(traceback.format_exception(error)) for error in errors]
    return "\n".join([str(entries), *traces, *(record.getMessage() for record in records)])


@pytest.mark.parametrize("group", GROUPS)
async def test_a_fault_of_the_provider_ends_right_and_costs_what_it_should(
    chat: ChatServer, caplog: pytest.LogCaptureFixture, group: str
) -> None:
    with capture_logs() as entries, caplog.at_level(logging.INFO):
        outcomes = await suffer(chat, GROUPS[group])

    assert [mistake for outcome in outcomes for mistake in mistakes(outcome)] == []
    assert await audit(chat.server.sql, chat.model.log.calls, endings=FAULTY_ENDINGS) == []
    journaled = {call.id for call in await begun_calls(chat.server.sql) if call.is_journaled}
    unjournaled = [call for call in sold(chat.model.log.calls) if call.call_id not in journaled]
    assert counted_lost(await metrics(chat)) == len(unjournaled)
    shown = [str((each.messages, each.receipt, each.run)) for each in outcomes]
    for secret in SECRETS:
        assert secret not in "".join([*shown, await metrics(chat), written(entries, caplog.records)])


async def test_a_provider_that_is_down_is_not_flooded_with_retries(chat: ChatServer) -> None:
    cases = down(DOWN)

    # Unless it is captured, each error would be drawn in colours, which takes longer than a lease.
    with capture_logs():
        outcomes = await suffer(chat, cases)

    assert [mistake for outcome in outcomes for mistake in mistakes(outcome)] == []
    # A full budget of ten, and a fifth of a retry for each call.
    assert len(cases) < len(chat.model.log.calls) <= len(cases) + 10 + len(cases) // 5
    assert await audit(chat.server.sql, chat.model.log.calls) == []
