"""Runs that are bad for their process, while other people's paid runs are in it."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

from tests.hardening.chats import Chats, opened_chats
from tests.hardening.fault import Fault, Findings, Mutation, rewritten
from tests.hardening.ground import Ground
from tests.hardening.platform import looked_after
from tests.support.poison import HOWS, KIND
from tests.support.tables import Tables, connected

__all__ = ["FAULT"]

PEOPLE, PLACES = 8, 3
BALANCE = 10
# What a platform lets a replica take; one that does nothing bad takes a third of it.
MEMORY_MB = 500
# A loop that stands still is ended after this instead of after half a minute, or all of this takes minutes.
LOOP_LIMIT_S = "4"
ENDED_WITHIN_S = 120.0
MOST_CLAIMS = 3
LOOK_S = 0.1


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a process that was lost to one of them; all four sorts at once, as long as it takes."""
    async with (
        opened_chats(ground, findings, people=PEOPLE, places=PLACES, HARDENING_LOOP_LIMIT_S=LOOP_LIMIT_S) as (
            chats,
            fleet,
        ),
        looked_after(fleet, memory_mb=MEMORY_MB),
    ):
        agent_id = await ground.agent(await ground.person(), kind=KIND)
        chats.keep_talking()
        for first in range(0, ground.n, len(HOWS)):
            hows = HOWS[: ground.n - first]
            await asyncio.gather(*(_one(ground, findings, chats, agent_id, how) for how in hows))
            findings.hit(fleet.deaths.total() - findings.hits)
            if findings.violations:
                return
        await chats.enough()
        findings.figure("deaths", dict(fleet.deaths))
    findings.figure("runs_beside", len(chats.talks))
    await _tell_claims(ground, findings)


async def _one(ground: Ground, findings: Findings, chats: Chats, agent_id: UUID, how: str) -> None:
    """One person's run, watched in the database: whoever would tell of it dies with it."""
    async with connected(ground.url) as sql:
        tables = Tables(sql)
        user_id = await tables.user(balance=BALANCE)
        run_id = await chats.submit(user_id, agent_id, {"how": how})
        row = await _ended(tables, run_id)
        wanted = ("succeeded", None, 1) if how == "prints" else ("failed", "poison", 0)
        told = (row["status"], row["code"], row["charged_credits"])
        findings.expect(told == wanted, f"a run that {how} came to {told} after {row['epoch']} claims")
        if how != "prints":
            findings.expect(row["epoch"] <= MOST_CLAIMS, f"a run that {how} was claimed {row['epoch']} times")
        entries = [kind for kind, _, _ in await tables.ledger(user_id)]
        closing = "settle" if how == "prints" else "release"
        findings.expect(
            entries == ["opening", "hold", closing], f"a run that {how} left the entries {entries}"
        )
        account = await sql.fetchrow(
            "select credits_remaining, held from public.credit_balances where user_id = $1", user_id
        )
        left = tuple(account or ())
        findings.expect(left == (BALANCE - wanted[2], 0), f"a run that {how} left the account with {left}")


# Any: the row as JSON.
async def _ended(tables: Tables, run_id: str) -> dict[str, Any]:
    """The run once it has ended, has been claimed too often, or has taken too long."""
    ends_at_s = time.monotonic() + ENDED_WITHIN_S
    while True:
        row = await tables.row(run_id)
        if row["ended_at"] or row["epoch"] > MOST_CLAIMS or time.monotonic() > ends_at_s:
            return row
        await asyncio.sleep(LOOK_S)


async def _tell_claims(ground: Ground, findings: Findings) -> None:
    """How often the runs beside them were claimed."""
    rows = await ground.sql.fetch(
        "select epoch, count(*) from switchyard.runs where kind = 'chat' group by epoch order by epoch"
    )
    findings.figure("claims_beside", {str(row["epoch"]): row["count"] for row in rows})


FAULT = Fault(
    name="poison",
    promise="runs that kill, eat, loop or print: poison after 3 claims, nothing charged, others unharmed",
    full_n=20,
    small_n=4,
    perform=perform,
    mutations=(
        Mutation(
            "no-limit",
            removes="the limit of attempts",
            sql=rewritten("switchyard.run_reap", "r.attempts >= c_max_attempts or", ""),
        ),
        Mutation(
            "together",
            removes="claiming a run alone that the next loss would end",
            sql=rewritten(
                "public.switchyard_runs_claim",
                "c_suspect constant integer := 2",
                "c_suspect constant integer := 9",
            ),
        ),
        Mutation(
            "paid-poison",
            removes="that nothing is charged for a run that the platform has failed",
            sql=rewritten("switchyard.run_failed", "r.usage, 0, null", "r.usage, 1, null"),
        ),
    ),
)
