"""A model provider that fails in every way known: the run ends right, asks seldom, and charges no fault.

Many faults happen at once, each to an agent of its own whose model's name chooses the fault. What a process
may spend on retries is limited, so a fault waits until good calls have earned what it may take; only the
flood at the start takes whatever there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from foundation.errors import Json
from heavy_agents.llm import estimate_tokens
from tests.hardening.fault import Fault, Findings
from tests.hardening.ground import Ground
from tests.hardening.provider_guards import MUTATIONS
from tests.hardening.purse import Purse
from tests.support.audit import begun_calls, counted_lost, sold
from tests.support.model import Asked
from tests.support.process import ServerProcess
from tests.support.provider_cases import (
    FAULTY_ENDINGS,
    HASTY,
    KINDS,
    PRICE,
    SECRETS,
    TEXT,
    Case,
    down,
    drawn,
)
from tests.support.server import messages

__all__ = ["FAULT"]

BALANCE = 100_000_000
AT_ONCE = 12
LOOK_S = 0.02
DOWN = 20
# Of a provider that is down: a full budget of ten, and a fifth of a retry for each call.
MOST_OF_DOWN = DOWN + 10 + DOWN // 5
GOOD = Case("good", {"text": "fine"}, None)
METRICS_TOKEN = "the-metrics-token-of-this-fault"
SETTINGS = {"METRICS_TOKEN": METRICS_TOKEN, "LOG_LEVEL": "info", "WORKER_SLOTS": "64"}

# Any: documents of the wire.
Document = dict[str, Any]


@dataclass(frozen=True)
class Suffering:
    """One case on its way: the model's name, the agent that asks it."""

    case: Case
    model: str
    agent: UUID


@dataclass
class Place:
    """A replica, what it can still retry, and what its clients were told of each model."""

    replica: ServerProcess
    headers: dict[str, str]
    good: Suffering
    purse: Purse = field(default_factory=Purse)
    told: dict[str, Document] = field(default_factory=dict)

    async def suffer(self, every: Sequence[Suffering]) -> None:
        """Some of them at once."""
        waiting = list(reversed(every))

        async def next_ones() -> None:
            while waiting:
                await self._suffer(waiting.pop())

        await asyncio.gather(*(next_ones() for _ in range(AT_ONCE)))

    async def flood(self, every: Sequence[Suffering]) -> None:
        """All of them at once, while there is nothing else."""
        assert self.purse.reserve(10)
        answers = await asyncio.gather(*(self.ask(each) for each in every))
        self.told.update(zip((each.model for each in every), answers, strict=True))
        self.purse.spent(10)

    async def ask(self, each: Suffering) -> Document:
        body: dict[str, Json] = {
            "agentId": str(each.agent),
            "messages": [{"role": "user", "content": "count for me"}],
            "stream": True,
        }
        client = self.replica.client
        with self.purse.earning():
            answer = await client.post("/api/agent/execute", json=body, headers=self.headers)
        assert answer.status_code == 200, answer.text
        heard = messages(answer.text)
        run_id = heard[0]["runId"]
        receipt = (await client.get(f"/api/runs/{run_id}/receipt", headers=self.headers)).json()
        run = (await client.get(f"/api/runs/{run_id}", headers=self.headers)).json()
        return {"messages": heard, "receipt": receipt, "run": run}

    async def metrics(self) -> str:
        headers = {"authorization": f"Bearer {METRICS_TOKEN}"}
        return (await self.replica.client.get("/metrics", headers=headers)).text

    async def _suffer(self, each: Suffering) -> None:
        while not self.purse.reserve(each.case.most_retries):
            await self._earn()
        self.told[each.model] = await self.ask(each)
        self.purse.spent(each.case.most_retries)

    async def _earn(self) -> None:
        if self.purse.has_room:
            await self.ask(self.good)
        else:
            await asyncio.sleep(LOOK_S)


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a run whose provider has failed as it was to."""
    person = await ground.person(balance=BALANCE)
    await ground.sql.execute("update switchyard.plans set per_minute = 1000000, per_hour = 1000000")
    good = await _suffering(ground, person, GOOD, model=GOOD.name)
    every = [
        await _suffering(ground, person, case, model=f"{case.name} {number}")
        for number, case in enumerate(drawn(ground.dice, ground.n))
    ]
    flood = [await _suffering(ground, person, case, model=case.name) for case in down(DOWN)]
    await ground.model.play(
        *(rule for each in [good, *flood, *every] for rule in each.case.rules(each.model))
    )
    # One alone: what waits in the queue may go to any, and each has retries of its own.
    async with ground.replica(log_file=None, **HASTY, **SETTINGS) as replica:
        place = Place(replica, {"authorization": f"Bearer {ground.token(person)}"}, good)
        await _suffer(place, every, flood=flood)
        metrics = await place.metrics()
    calls, told = await ground.calls(), place.told
    _judge(findings, [*flood, *every], told, calls)
    charged = sum(answer["receipt"]["charged"] for answer in told.values())
    await _look_at_money(ground, findings, person, calls=calls, lost=counted_lost(metrics), charged=charged)
    _search(ground, findings, f"{told}{metrics}")
    findings.figure("kinds", len({each.case.name for each in every}))
    findings.figure("calls", len(calls))


async def _suffering(ground: Ground, person: UUID, case: Case, *, model: str) -> Suffering:
    agent = await ground.agent(person, kind="chat", price=PRICE)
    await ground.sql.execute("update public.agents set ai_model = $2 where id = $1", agent, model)
    return Suffering(case, model, agent)


async def _suffer(place: Place, every: Sequence[Suffering], *, flood: Sequence[Suffering]) -> None:
    # What is loaded by the first call belongs to no fault's time.
    await place.ask(place.good)
    await place.flood(flood)
    await asyncio.gather(
        *(place.suffer([each for each in every if each.case.is_slow is is_slow]) for is_slow in (True, False))
    )


def _judge(
    findings: Findings, every: Sequence[Suffering], told: dict[str, Document], calls: Sequence[Asked]
) -> None:
    by_model: dict[str, list[Asked]] = {}
    for call in calls:
        by_model.setdefault(call.model, []).append(call)
    for each in every:
        findings.hit(each.model in by_model)
        for mistake in _mistakes(each.case, told[each.model], by_model.get(each.model, [])):
            findings.violated(f"{each.case.name}: {mistake}")
    flooded = sum(len(asked) for model, asked in by_model.items() if model.startswith("down "))
    findings.expect(
        DOWN < flooded <= MOST_OF_DOWN, f"{flooded} calls to a provider that was down for {DOWN} runs"
    )


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
        "the run has another charge": told["run"]["creditsUsed"] == charged,
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


async def _look_at_money(
    ground: Ground, findings: Findings, person: UUID, *, calls: Sequence[Asked], lost: int, charged: int
) -> None:
    """What was sold is charged or counted as lost, and the account has changed by the charges alone."""
    journaled = {call.id for call in await begun_calls(ground.sql) if call.is_journaled}
    unjournaled = [call for call in sold(calls) if call.call_id not in journaled]
    findings.expect(lost == len(unjournaled), f"{lost} counted as lost of {len(unjournaled)}")
    # Every answer to a good call is whole and the only one of its run.
    of_good = sum(
        1 + call.tokens["total_tokens"] for call in calls if call.model == GOOD.name and call.tokens
    )
    account = await ground.sql.fetchrow(
        "select credits_remaining, held from public.credit_balances where user_id = $1", person
    )
    left, due = tuple(account or ()), of_good + charged
    findings.expect(left == (BALANCE - due, 0), f"{due} were due of {BALANCE}, the account has {left}")


def _search(ground: Ground, findings: Findings, told: str) -> None:
    """What the provider says may hold keys and names, and is repeated nowhere."""
    written = "".join(file.read_text() for file in ground.folder.glob("replica-*.log")) + told
    for secret in SECRETS:
        findings.expect(secret not in written, f"{secret!r} was written or told")


FAULT = Fault(
    name="provider",
    promise="a provider that fails in every way known: right end, bounded retries, right charge",
    full_n=1000,
    small_n=KINDS,
    perform=perform,
    endings=FAULTY_ENDINGS,
    mutations=MUTATIONS,
)
