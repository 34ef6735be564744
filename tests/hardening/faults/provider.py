"""A model provider that fails in every way known: the run ends right, asks seldom, and charges no fault.

The faults of a batch happen at once, each to an agent of its own whose model's name chooses the fault. What a
process may spend on retries is limited, so a batch holds no more than that, and good calls earn it again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from foundation.errors import Json
from heavy_agents.llm import estimate_tokens
from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.ground import Ground
from tests.hardening.provider_cases import (
    FAULTY_ENDINGS,
    GROUPS,
    HASTY,
    PRICE,
    SECRETS,
    TEXT,
    Case,
    down,
)
from tests.support.audit import audit, begun_calls, counted_lost, sold
from tests.support.model import Asked
from tests.support.process import ServerProcess
from tests.support.server import messages

__all__ = ["FAULT", "absurd_is_believed", "asks_after_text", "asks_for_ever", "the_fault_costs"]

REPLICAS = 3
# A retry is earned by five calls, and a process keeps ten at most.
EARNING, DOWN = 50, 30
GOOD = "good"
METRICS_TOKEN = "the-metrics-token-of-this-fault"
BATCHES = (
    ("too many requests", "statuses of a wrong question"),
    ("statuses of a failing provider", "cut in the text"),
    ("cut before the first token", "whole, but oddly ended"),
    ("nonsense before the first token",),
    ("passing troubles",),
    ("down",),
)
KINDS = sum(map(len, GROUPS.values()))

# Any: documents of the wire.
Document = dict[str, Any]


@dataclass(frozen=True)
class Suffering:
    """One case on its way: the model's name, the agent that asks it."""

    case: Case
    model: str
    agent: UUID


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a run whose provider has failed as it was to."""
    person = await ground.person(balance=100_000_000)
    await ground.sql.execute("update switchyard.plans set per_minute = 1000000, per_hour = 1000000")
    good = Suffering(Case(GOOD, {"text": "fine"}, None), GOOD, await _agent(ground, person, GOOD))
    batches = await _batches(ground, person)
    every = [each for batch in batches for each in batch]
    await ground.model.play(
        *(rule for each in every for rule in each.case.rules(each.model)), {"reply": {"text": "fine"}}
    )
    settings = {**HASTY, "METRICS_TOKEN": METRICS_TOKEN, "LOG_LEVEL": "info", "WORKER_SLOTS": "64"}
    told: dict[str, Document] = {}
    lost = 0
    async with AsyncExitStack() as stack:
        replicas = await asyncio.gather(
            *(stack.enter_async_context(ground.replica(**settings)) for _ in range(REPLICAS))
        )
        waiting = list(reversed(batches))
        token = ground.token(person)
        await asyncio.gather(*(_suffer(each, token, good, waiting=waiting, told=told) for each in replicas))
        calls = await ground.calls()
        for replica in replicas:
            headers = {"authorization": f"Bearer {METRICS_TOKEN}"}
            lost += counted_lost((await replica.client.get("/metrics", headers=headers)).text)
    _judge(findings, every, told, calls)
    await _audit(ground, findings, calls, lost)
    _search(ground, findings, told)


async def _batches(ground: Ground, person: UUID) -> list[list[Suffering]]:
    """As many as hold n faults together."""
    batches: list[list[Suffering]] = []
    number = count = 0
    while count < ground.n:
        names = BATCHES[number % len(BATCHES)]
        cases = [case for name in names for case in (down(DOWN) if name == "down" else GROUPS[name])]
        models = [f"{case.name} {number}" for case in cases]
        batches.append(
            [
                Suffering(case, model, await _agent(ground, person, model))
                for case, model in zip(cases, models, strict=True)
            ]
        )
        number, count = number + 1, count + len(cases)
    return batches


async def _agent(ground: Ground, person: UUID, model: str) -> UUID:
    agent = await ground.agent(person, kind="chat", price=PRICE)
    await ground.sql.execute("update public.agents set ai_model = $2 where id = $1", agent, model)
    return agent


async def _suffer(
    replica: ServerProcess,
    token: str,
    good: Suffering,
    *,
    waiting: list[list[Suffering]],
    told: dict[str, Document],
) -> None:
    # What is loaded by the first call belongs to no fault's time.
    await _ask(replica, token, good)
    while waiting:
        batch = waiting.pop()
        await asyncio.gather(*(_ask(replica, token, good) for _ in range(EARNING)))
        answers = await asyncio.gather(*(_ask(replica, token, each) for each in batch))
        told.update(zip((each.model for each in batch), answers, strict=True))


async def _ask(replica: ServerProcess, token: str, each: Suffering) -> Document:
    headers = {"authorization": f"Bearer {token}"}
    body: dict[str, Json] = {
        "agentId": str(each.agent),
        "messages": [{"role": "user", "content": "count for me"}],
        "stream": True,
    }
    answer = await replica.client.post("/api/agent/execute", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    heard = messages(answer.text)
    run_id = heard[0]["runId"]
    receipt = (await replica.client.get(f"/api/runs/{run_id}/receipt", headers=headers)).json()
    return {"messages": heard, "receipt": receipt}


def _judge(findings: Findings, every: list[Suffering], told: dict[str, Document], calls: list[Asked]) -> None:
    by_model: dict[str, list[Asked]] = {}
    for call in calls:
        by_model.setdefault(call.model, []).append(call)
    for each in every:
        findings.hit(each.model in by_model)
        for mistake in _mistakes(each.case, told[each.model], by_model.get(each.model, [])):
            findings.violated(f"{each.case.name}: {mistake}")
    # A full budget of ten, and a fifth of a retry for each call.
    floods = Counter(
        each.model.rpartition(" ")[2] for each in every for _ in by_model[each.model] if _is_down(each)
    )
    most = DOWN + 10 + DOWN // 5
    for count in floods.values():
        findings.expect(DOWN < count <= most, f"{count} calls of {DOWN} to a provider that is down")
    findings.figure("kinds", KINDS)


def _is_down(each: Suffering) -> bool:
    return each.case.name.startswith("down ")


def _mistakes(case: Case, told: Document, calls: list[Asked]) -> list[str]:
    """What is wrong with what came of a case; nothing, if all is well."""
    heard, receipt = told["messages"], told["receipt"]
    last, charged = heard[-1], told["receipt"]["charged"]
    text = "".join(each["content"] for each in heard if each["type"] == "chunk")
    checks = {
        f"it ended as {last.get('code')}": last.get("code") == case.code,
        f"{len(calls)} calls": case.calls[0] <= len(calls) <= case.calls[1],
        "the numbering": [each["seq"] for each in heard] == list(range(1, len(heard) + 1)),
        "the text is none of the answer": TEXT.startswith(text),
        "what came is not shown": not case.is_shown or text != "",
        "the terminal event has another text": (last["response"] or "") == text,
        "the event has another charge": last["creditsUsed"] == charged,
        "one hold, one end": len(receipt["entries"]) == 2,
    }
    if case.code is not None:
        checks[f"charged {charged}"] = charged == 0
    elif last["type"] == "done" and calls:
        tokens = last["usage"]["inputTokens"] + last["usage"]["outputTokens"]
        checks[f"charged {charged}"] = charged == 1 + tokens
        # Tries that came to nothing are the platform's.
        checks[f"{tokens} tokens"] = tokens == _tokens(calls[-1], is_estimated=case.is_estimated)
        checks["the whole text"] = text == TEXT
    return [what for what, holds in checks.items() if not holds]


def _tokens(call: Asked, *, is_estimated: bool) -> int:
    if not is_estimated:
        return int((call.tokens or {}).get("total_tokens", 0))
    said: list[dict[str, Json]] = call.body["messages"]
    return estimate_tokens(said) + estimate_tokens(TEXT)


async def _audit(ground: Ground, findings: Findings, calls: list[Asked], lost: int) -> None:
    """By itself: what a fault has cut near its end counts as a whole answer."""
    for broken in await audit(ground.sql, calls, endings=FAULTY_ENDINGS):
        findings.violated(f"audit: {broken}")
    journaled = {call.id for call in await begun_calls(ground.sql) if call.is_journaled}
    unjournaled = [call for call in sold(calls) if call.call_id not in journaled]
    findings.expect(lost == len(unjournaled), f"{lost} counted as lost of {len(unjournaled)}")


def _search(ground: Ground, findings: Findings, told: dict[str, Document]) -> None:
    """What the provider says may hold keys and names, and is repeated nowhere."""
    written = "".join(file.read_text() for file in ground.folder.glob("replica-*.log")) + str(told)
    for secret in SECRETS:
        findings.expect(secret not in written, f"{secret!r} was written or told")


def asks_for_ever() -> None:
    """Mutation: a turn and a process may be retried as often as they like."""
    from heavy_agents.llm import asking
    from heavy_agents.llm.budget import RetryBudget

    asking.MAX_RETRIES = 5  # type: ignore[misc]
    RetryBudget.take = lambda self: self is not None  # type: ignore[method-assign]
    RetryBudget.retries = 5  # type: ignore[assignment,method-assign]


def absurd_is_believed() -> None:
    """Mutation: whatever a provider counts is charged."""
    from heavy_agents.llm import accumulate

    def told(usage: object) -> tuple[int, int] | None:
        return (usage["prompt_tokens"], usage["completion_tokens"]) if isinstance(usage, dict) else None

    accumulate._told = told


def asks_after_text() -> None:
    """Mutation: an answer that broke off after its first words is asked for again."""
    from heavy_agents.llm.attempt import Attempt
    from heavy_agents.llm.verdict import Setback, unavailable

    def broken(self: Attempt, why: str) -> Setback:
        setback = unavailable("the answer broke off", why=why, retries=self._retries)
        return Setback(setback.error, why, outcome="cut", may_retry=True, retries=self._retries)

    Attempt._broken = broken  # type: ignore[method-assign]


def the_fault_costs() -> None:
    """Mutation: a run that its provider has failed is charged what was used."""
    from heavy_agents.credits import Blame, settlement
    from heavy_agents.runs import meter

    charge = settlement.charge

    def always(blame: Blame, *arguments: Any, **named: Any) -> int:  # Any: passed on
        del blame
        return charge(Blame.NOBODY, *arguments, **named)

    meter.charge = always


FAULT = Fault(
    name="provider",
    promise="a provider that fails in every way known: right end, bounded retries, right charge",
    full_n=25 * (KINDS + DOWN),
    small_n=KINDS + DOWN,
    perform=perform,
    needs_audit=False,
    mutations=(
        Mutation("asks-for-ever", removes="the limits of retries", patch=f"{__name__}:asks_for_ever"),
        Mutation(
            "absurd-is-believed",
            removes="the look whether a usage can be true",
            patch=f"{__name__}:absurd_is_believed",
        ),
        Mutation(
            "asks-after-text",
            removes="that nothing is tried again once text was shown",
            patch=f"{__name__}:asks_after_text",
        ),
        Mutation(
            "the-fault-costs",
            removes="that what the platform has failed costs nothing",
            patch=f"{__name__}:the_fault_costs",
        ),
    ),
)
