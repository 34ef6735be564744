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
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from foundation.errors import Json
from heavy_agents.llm import estimate_tokens
from tests.support.audit import audit, begun_calls, counted_lost, sold
from tests.support.chat import KEY, ChatServer, ask, chatting
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.model import Asked, Fault, Reply, Rule
from tests.support.server import METRICS_TOKEN, Document, Person

# So long that the last hundredth of the stream is inside its usage, after the reason why it stopped.
TEXT = " ".join(f"word{number}" for number in range(30))
# A credit a token, so that every token shows.
PRICE: Document = {"flat": 1, "per_1k_tokens": 1000, "ceiling": 900}
SECRETS = ("a secret of the provider", "canary", KEY)
HASTY = {"model_first_token_seconds": 2, "model_silence_seconds": 1, "model_turn_seconds": 5}
FAULTY_ENDINGS = frozenset({"complete", "cut", "left"})
MOST_CALLS = 3


@dataclass(frozen=True)
class Case:
    """One fault, and what must come of it.

    Attributes:
        code: of the failed run; None when it succeeds.
        calls: the least and the most requests the provider may get.
        times: how often the fault happens; 0 for always.
        is_estimated: the provider does not say what the answer has cost.
        is_shown: a part of the text came before the fault, so the client has it.
    """

    name: str
    reply: Reply
    code: str | None = "model_unavailable"
    calls: tuple[int, int] = (1, MOST_CALLS)
    times: int = 0
    is_estimated: bool = False
    is_shown: bool = False

    @property
    def rules(self) -> list[Rule]:
        faulty: Rule = {"when": {"model": self.name}, "reply": self.reply}
        if not self.times:
            return [faulty]
        return [{**faulty, "times": self.times}, {"when": {"model": self.name}, "reply": {"text": TEXT}}]


# Any: here and below, the members of a `Fault`.
def fault(**members: Any) -> Reply:
    return Reply(text=TEXT, fault=cast("Fault", members))


def refusal(status: int, *, headers: dict[str, str] | None = None, **error: Any) -> Reply:
    return fault(kind="status", status=status, headers=headers or {}, error=error)


def cut(kind: str, after: float, **members: Any) -> Reply:
    return fault(kind=kind, after=after, **members)


def retry_at(after_s: float) -> dict[str, str]:
    return {"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=after_s), usegmt=True)}


THRICE = (MOST_CALLS, MOST_CALLS)
ONCE = (1, 1)
TWICE = (2, 2)

GROUPS: dict[str, list[Case]] = {
    "too many requests": [
        Case("429", refusal(429), calls=THRICE),
        Case("429 in seconds", refusal(429, headers={"retry-after": "1"}), calls=(2, 3)),
        Case("429 in ms", refusal(429, headers={"retry-after-ms": "20"}), calls=THRICE),
        Case("429 at a date", refusal(429, headers=retry_at(2)), calls=(1, 3)),
        Case("429 in an hour", refusal(429, headers={"retry-after": "3600"}), calls=ONCE),
        Case("429 out of money", refusal(429, code="insufficient_quota"), calls=ONCE),
    ],
    "statuses of a failing provider": [
        Case("500", refusal(500), calls=THRICE),
        Case("502", fault(kind="status", status=502, text="<html>canary-502</html>"), calls=THRICE),
        Case("503", refusal(503), calls=THRICE),
        Case("hang", fault(kind="hang")),
        Case("silence before the first token", cut("silence", 0)),
    ],
    "statuses of a wrong question": [
        Case("400", refusal(400), "agent_error", ONCE),
        Case("400 too long", refusal(400, code="context_length_exceeded"), "agent_error", ONCE),
        Case("400 filtered", refusal(400, code="content_filter"), "agent_error", ONCE),
        Case("413", refusal(413), "agent_error", ONCE),
        Case("422", refusal(422), "agent_error", ONCE),
        Case("404", refusal(404, code="model_not_found"), "agent_error", ONCE),
        Case("401", refusal(401, code="invalid_api_key"), calls=ONCE),
        Case("402", refusal(402), calls=ONCE),
        Case("403", refusal(403), calls=ONCE),
        Case(
            "400 no stream options",
            refusal(400, code="unsupported_parameter", param="stream_options"),
            None,
            TWICE,
            times=1,
            is_estimated=True,
        ),
    ],
    "cut before the first token": [
        Case("reset 0", cut("reset", 0)),
        Case("close 0", cut("close", 0), calls=THRICE),
        Case("end 0", cut("end", 0), calls=THRICE),
        Case("close 1 %", cut("close", 0.01), calls=THRICE),
        Case("end 1 %", cut("end", 0.01), calls=THRICE),
    ],
    "nonsense before the first token": [
        Case("garbage 0", cut("garbage", 0), calls=THRICE),
        Case("error 0", cut("error", 0), calls=THRICE),
        Case("10 MB line", cut("long_line", 0, size_bytes=10_000_000), calls=THRICE),
        Case("web page", fault(kind="content_type"), calls=THRICE),
        Case("1 byte/s", cut("drip", 0, every_s=1.0)),
    ],
    "cut in the text": [
        Case("reset 50 %", cut("reset", 0.5)),
        *(
            Case(f"{kind} 50 %", cut(kind, 0.5), calls=ONCE, is_shown=True)
            for kind in ("close", "end", "silence", "garbage", "error", "drip", "long_line")
        ),
    ],
    "whole, but oddly ended": [
        *(
            Case(f"{kind} 99 %", cut(kind, 0.99), None, ONCE, is_estimated=True)
            for kind in ("close", "end", "silence", "garbage", "error")
        ),
        Case("no [DONE]", cut("no_done", 0), None, ONCE),
        Case("no usage", Reply(text=TEXT, usage="missing"), None, ONCE, is_estimated=True),
        Case("absurd usage", Reply(text=TEXT, usage="absurd"), None, ONCE, is_estimated=True),
        Case("negative usage", Reply(text=TEXT, usage="negative"), None, ONCE, is_estimated=True),
    ],
    "passing troubles": [
        Case("429 once", refusal(429, headers={"retry-after-ms": "20"}), None, TWICE, times=1),
        Case("503 once", refusal(503), None, TWICE, times=1),
        Case("hang once", fault(kind="hang"), None, TWICE, times=1),
        Case("silence once", cut("silence", 0), None, TWICE, times=1),
        Case("reset once", cut("reset", 0), None, TWICE, times=1),
        Case("close once", cut("close", 0.01), None, TWICE, times=1),
        Case("garbage once", cut("garbage", 0), None, TWICE, times=1),
        Case("error once", cut("error", 0), None, TWICE, times=1),
        Case("web page once", fault(kind="content_type"), None, TWICE, times=1),
    ],
}


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
    await chat.model.play(*(rule for case in cases for rule in case.rules))
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
    cases = [Case(f"down {number}", refusal(503, headers={"retry-after-ms": "20"})) for number in range(30)]

    # Unless it is captured, each error would be drawn in colours, which takes longer than a lease.
    with capture_logs():
        outcomes = await suffer(chat, cases)

    assert [mistake for outcome in outcomes for mistake in mistakes(outcome)] == []
    # A full budget of ten, and a fifth of a retry for each call.
    assert len(cases) < len(chat.model.log.calls) <= len(cases) + 10 + len(cases) // 5
    assert await audit(chat.server.sql, chat.model.log.calls) == []
