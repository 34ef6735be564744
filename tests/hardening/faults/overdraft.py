"""256 submissions at once on an account that can pay 100."""

from __future__ import annotations

import asyncio
from collections import Counter
from http import HTTPStatus

import httpx2

from tests.hardening.fault import Fault, Findings, Mutation, rewritten
from tests.hardening.ground import Ground
from tests.support.process import ServerProcess

__all__ = ["FAULT"]

AT_ONCE, COVERED = 256, 100


async def perform(ground: Ground, findings: Findings) -> None:
    """A round is a hit: more is asked for than the account has, at once and on two replicas."""
    async with ground.replica() as first, ground.replica() as second:
        for _ in range(ground.n):
            await _round(ground, findings, (first, second))


async def _round(ground: Ground, findings: Findings, replicas: tuple[ServerProcess, ServerProcess]) -> None:
    person = await ground.person(balance=COVERED)
    agent = await ground.agent(person)
    headers = {"Authorization": f"Bearer {ground.token(person)}"}
    body = {"agentId": str(agent), "messages": [{"role": "user", "content": "one of many"}]}

    answers: list[httpx2.Response] = await asyncio.gather(
        *(
            replicas[number % 2].client.post("/api/agent/execute", json=body, headers=headers)
            for number in range(AT_ONCE)
        )
    )

    told = Counter(answer.status_code for answer in answers)
    findings.hit()
    expected = {int(HTTPStatus.OK): COVERED, int(HTTPStatus.PAYMENT_REQUIRED): AT_ONCE - COVERED}
    findings.expect(told == expected, f"answered {dict(told)} instead of {expected}")
    account = await ground.sql.fetchrow(
        "select credits_remaining, held from public.credit_balances where user_id = $1", person
    )
    left = tuple(account or ())
    findings.expect(left == (0, 0), f"the account is left with {left}")


FAULT = Fault(
    name="overdraft",
    promise="256 submissions at once on credit for 100: exactly 100 accepted, no account below zero",
    full_n=100,
    small_n=1,
    perform=perform,
    mutations=(
        Mutation(
            "unchecked-hold",
            removes="the look at what is available before a hold",
            sql=rewritten("switchyard.hold_open", "if v_available < p_credits then", "if false then"),
        ),
        Mutation(
            "unlocked-account",
            removes="the locks on the account between that look and the hold, which takes 5 ms here",
            sql=rewritten("switchyard.available", "for no key update", "")
            + rewritten(
                "switchyard.hold_open", "if v_available", "perform pg_sleep(0.005);\n  if v_available"
            )
            + rewritten("switchyard.limits_take", "begin", "begin\n  return;"),
        ),
    ),
)
