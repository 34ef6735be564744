"""Cancelling through another replica than the one that executes, at any age of a run, and in the queue."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

from heavy_agents.credits import Blame, Usage, charge, parse_price
from tests.hardening.chats import LIFE_S, Chats, Person, Talk, opened_chats
from tests.hardening.fault import Fault, Findings, Mutation, rewritten
from tests.hardening.fleet import Place
from tests.hardening.ground import Ground
from tests.support.bill import journaled
from tests.support.model import Asked
from tests.support.stage import ANSWER, PRICE
from tests.support.transcript import seen_wrongly, transcript

__all__ = ["FAULT"]

FULL_N = 500
# More people than the one replica that executes has places, so that some wait.
PEOPLE, SLOTS = 12, 8
# So that no run ends by itself while the news is on its way.
WORD_S = 0.12
# Of the runs, those that are cancelled when their last words are heard, and may end first.
AT_THE_END = 1 / 8
LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Cancelled:
    talk: Talk
    answered_at_s: float
    was_queued: bool


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a run that had not ended when it was cancelled at the front door, which executes nothing."""
    cancelled: list[Cancelled] = []
    async with opened_chats(
        ground, findings, people=PEOPLE, places=1, word_s=WORD_S, WORKER_SLOTS=str(SLOTS)
    ) as (chats, fleet):
        door = Place(1, role="web")
        fleet.places.append(door)
        await fleet.start(door)
        share = [ground.n // PEOPLE + (number < ground.n % PEOPLE) for number in range(PEOPLE)]
        each = await asyncio.gather(
            *(
                _cancel_often(ground, chats, person, door, times)
                for person, times in zip(chats.people, share, strict=True)
            )
        )
        cancelled = [one for some in each for one in some if one is not None]
        for one in cancelled:
            await _check(ground, findings, chats, one)
    findings.hit(len(cancelled))
    findings.figure("while_queued", sum(one.was_queued for one in cancelled))
    await _check_upstream(ground, findings, cancelled)


async def _cancel_often(
    ground: Ground, chats: Chats, person: Person, door: Place, times: int
) -> list[Cancelled | None]:
    return [await _cancel(ground, chats, person, door) for _ in range(times)]


async def _cancel(ground: Ground, chats: Chats, person: Person, door: Place) -> Cancelled | None:
    """None: it had ended before the answer, or soon after it as it would have anyway."""
    talk = await chats.begin(person)
    is_late = ground.dice.random() < AT_THE_END
    if is_late:
        await _last_words(talk)
    else:
        await asyncio.sleep(ground.dice.uniform(0, LIFE_S))
    answer = await chats.ask(person, "POST", f"/api/runs/{talk.run_id}/cancel", at=door)
    answered_at_s = time.monotonic()
    await asyncio.gather(*talk.watching)
    if answer.status_code != HTTPStatus.ACCEPTED or (is_late and talk.seen[-1]["type"] == "done"):
        return None
    # Nobody has to be waited for then.
    return Cancelled(talk, answered_at_s, was_queued=answer.json()["status"] == "cancelled")


async def _last_words(talk: Talk) -> None:
    while not talk.viewers[0].is_over and not transcript(talk.seen).endswith(ANSWER[-10:]):
        await asyncio.sleep(LOOK_S)


async def _check(ground: Ground, findings: Findings, chats: Chats, one: Cancelled) -> None:
    """One ending; charged by the price for what was used, which is at least what is journaled."""
    talk = one.talk
    for sentence in seen_wrongly(talk.seen, await chats.logged(talk)):
        findings.violated(sentence)
    end = talk.seen[-1]
    findings.expect(
        end.get("code") == "cancelled", f"a cancelled run ended with {end['type']} {end.get('code')}"
    )
    receipt = await chats.receipt(talk)
    used, of_journal = Usage.from_json(receipt["usage"]), journaled(receipt)
    due = charge(Blame.USER, parse_price(PRICE), used, elapsed_ms=0)
    findings.expect(receipt["charged"] == due, f"charged {receipt['charged']} for a usage of {due}")
    findings.expect(end["creditsUsed"] == due, f"told of {end['creditsUsed']} credits for a usage of {due}")
    entries = [entry["kind"] for entry in receipt["entries"]]
    findings.expect(entries == ["hold", "settle" if due else "release"], f"the receipt has {entries}")
    findings.expect(used.tokens >= of_journal.tokens, f"used {used}, and journaled {of_journal}")


async def _check_upstream(ground: Ground, findings: Findings, cancelled: list[Cancelled]) -> None:
    """The model is left; whatever it had begun to answer is in the usage."""
    calls = {call.call_id: call for call in await ground.calls()}
    rows = await ground.sql.fetch("select run_id::text, id from switchyard.calls")
    left_s: list[float] = []
    for one in cancelled:
        own = [calls[row["id"]] for row in rows if row["run_id"] == one.talk.run_id and row["id"] in calls]
        usage: dict[str, Any] = await ground.sql.fetchval(
            "select usage from switchyard.runs where id = $1", UUID(one.talk.run_id)
        )
        answered = sum(call.status == HTTPStatus.OK for call in own)
        heard = {message["step"] for message in one.talk.seen if message["type"] == "chunk"}
        bought = Usage.from_json(usage).model_calls
        # One whose head was still on its way is not known here.
        findings.expect(
            len(heard) <= bought <= answered,
            f"{answered} calls were answered and {len(heard)} heard, {bought} are in the usage",
        )
        left_s += [late for call in own if (late := _late_s(call, one.answered_at_s)) is not None]
    findings.spread("upstream_closed", left_s)
    findings.figure("calls_left", len(left_s))
    if ground.n >= FULL_N:
        findings.in_time("upstream_closed", p99=1.0)


def _late_s(call: Asked, answered_at_s: float) -> float | None:
    """How long the model went on for; None for a call that was over before."""
    if call.over_s is None or call.over_s < answered_at_s:
        return None
    return call.over_s - answered_at_s


FAULT = Fault(
    name="cancel",
    promise="cancelled through another replica: the model is left within 1 s, and what was used is charged",
    full_n=FULL_N,
    small_n=12,
    perform=perform,
    mutations=(
        Mutation(
            "unheard",
            removes="the news of a cancelling, as a hint and in the answer to a heartbeat",
            patch="tests.hardening.mutants:hear_no_cancel",
            sql=rewritten(
                "public.switchyard_runs_heartbeat", "where cancel_requested_at is not null", "where false"
            ),
        ),
        Mutation(
            "free-of-charge",
            removes="charging what a cancelled run has used",
            patch="tests.hardening.mutants:charge_nothing",
        ),
        Mutation(
            "only-journaled",
            removes="counting a call that was broken off",
            patch="tests.hardening.mutants:forget_broken_calls",
        ),
        Mutation(
            "cut-off-in-the-database",
            removes="leaving the end of a run to the process that executes it",
            sql=rewritten("public.switchyard_runs_cancel", "if r.status = 'queued' then", "if true then"),
        ),
    ),
)
