"""The client leaves at each hundredth of a stream: the run goes on and costs what was sold."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any
from uuid import UUID

import orjson

from foundation.errors import Json
from tests.hardening.fault import Fault, Findings, Mutation
from tests.hardening.ground import Ground
from tests.support.audit import begun_calls
from tests.support.bare import PONG, Bare, frame, message, opening
from tests.support.cuts import is_terminal
from tests.support.process import ServerProcess
from tests.support.tails import SocketTail, StreamTail

__all__ = ["FAULT", "the_leaver_cancels", "the_leaver_is_free"]

TEXT = " ".join(f"word{number}" for number in range(100))
PRICE: dict[str, Json] = {"flat": 1, "per_1k_tokens": 1000, "ceiling": 900}
AT_ONCE = 20
LEAVE_WITHIN_S = 40.0
END_WITHIN_S = 60.0


async def perform(ground: Ground, findings: Findings) -> None:
    """A hit is a client that has left a run before it was told its end."""
    person = await ground.person()
    agent = await ground.agent(person, kind="chat", price=PRICE)
    await ground.model.play({"reply": {"text": TEXT, "between_s": 0.01}})
    body = {"agentId": str(agent), "messages": [{"role": "user", "content": "a hundred words"}]}
    left: list[str] = []
    async with ground.replica() as replica:
        for first in range(0, ground.n, AT_ONCE):
            left += await asyncio.gather(
                *(
                    _leave(ground, replica, person, body, number)
                    for number in range(first, min(first + AT_ONCE, ground.n))
                )
            )
        async with asyncio.timeout(END_WITHIN_S):
            while await ground.sql.fetchval("select count(*) from switchyard.runs where ended_at is null"):
                await asyncio.sleep(0.1)
    findings.hit(sum(bool(run_id) for run_id in left))
    await _compare(ground, findings)


# Any: a body of the wire.
async def _leave(
    ground: Ground, replica: ServerProcess, person: UUID, body: dict[str, Any], number: int
) -> str:
    """Read so many hundredths and go; the run's id, or nothing if the run was faster."""
    hundredths = number // 2 * 100 // max(ground.n // 2, 1)
    is_reset = ground.dice.random() < 0.5
    token = ground.token(person)
    async with (
        asyncio.timeout(LEAVE_WITHIN_S),
        Bare.connected(str(replica.client.base_url).rstrip("/")) as bare,
    ):
        listen = _over_socket if number % 2 else _over_stream
        told = await listen(bare, token, body, words=hundredths)
        if is_reset:
            bare.reset()
        return "" if is_terminal(told[-1]) else str(orjson.loads(told[-1])["runId"])


async def _over_stream(bare: Bare, token: str, body: dict[str, Any], *, words: int) -> list[bytes]:
    written, tail = orjson.dumps({**body, "stream": True}), StreamTail()
    head = (
        "POST /api/agent/execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(written)}\r\n\r\n"
    )
    await bare.say(head.encode() + written)
    while not _is_enough(tail.told, words):
        await _feed(bare, tail)
    return tail.told


async def _over_socket(bare: Bare, token: str, body: dict[str, Any], *, words: int) -> list[bytes]:
    tail = SocketTail()
    await bare.say(opening(token=token))
    while not tail.said:
        await _feed(bare, tail)
    await bare.say(message("agent_execute", **body))
    while not _is_enough(tail.told, words):
        await _feed(bare, tail)
        while tail.pinged:
            await bare.say(frame(PONG, tail.pinged.pop()))
    return tail.told


async def _feed(bare: Bare, tail: StreamTail | SocketTail) -> None:
    await bare.until(lambda: bool(bare.received) or bare.ended is not None)
    assert bare.received, f"the server has ended it with {bare.ended}"
    # A little at a time, so that what came together is not all read.
    tail.feed(bytes(bare.received[:64]))
    del bare.received[:64]


def _is_enough(told: list[bytes], words: int) -> bool:
    heard = sum(len(str(orjson.loads(each).get("content", "")).split()) for each in told)
    return bool(told) and (heard >= words or is_terminal(told[-1]))


async def _compare(ground: Ground, findings: Findings) -> None:
    """Every run has succeeded, and was charged what the model's own log says."""
    calls = {call.call_id: call for call in await ground.calls()}
    runs = await ground.sql.fetch("select id::text, status, charged_credits, response from switchyard.runs")
    findings.expect(len(runs) == ground.n, f"{len(runs)} runs of {ground.n} clients")
    sold = {each.run_id: calls[each.id] for each in await begun_calls(ground.sql) if each.id in calls}
    for run in runs:
        call = sold.get(run["id"])
        is_whole = call is not None and (call.status, call.ended) == (HTTPStatus.OK, "complete")
        findings.expect(is_whole, "a call of the model was not read to its end")
        findings.expect(run["status"] == "succeeded", f"a run has {run['status']}")
        findings.expect(run["response"] == TEXT, "a run has another answer than the model's")
        if call is not None and call.tokens is not None:
            owed = 1 + call.tokens["total_tokens"]
            findings.expect(run["charged_credits"] == owed, f"charged {run['charged_credits']}, sold {owed}")


def the_leaver_cancels() -> None:
    """Mutation: the run of a reader who has gone is cancelled."""
    from collections.abc import AsyncGenerator

    from heavy_agents.events import Event
    from heavy_agents.runs import Runs

    async def follow(
        self: Runs, user_id: UUID, run_id: UUID, *, after: int, is_fresh: bool = False
    ) -> AsyncGenerator[list[Event]]:
        batches = self._follower.follow(user_id, run_id, after=after, is_fresh=is_fresh)
        try:
            async for batch in batches:
                yield batch
        finally:
            await self.cancel(user_id, run_id)

    Runs.follow = follow  # type: ignore[method-assign]


def the_leaver_is_free() -> None:
    """Mutation: what nobody reads to its end is not charged."""
    from heavy_agents.credits import Blame
    from heavy_agents.runs import execution
    from heavy_agents.runs.meter import Meter

    charge = Meter.charge

    def unless_left(self: Meter, blame: Blame) -> int:
        is_read = any(unless_left.hub._subscriptions.values()) if unless_left.hub else True  # type: ignore[attr-defined]
        return charge(self, blame) if is_read else 0

    def keep(self: execution.Execution, *arguments: Any, **named: Any) -> None:  # Any: passed on
        init(self, *arguments, **named)
        unless_left.hub = self._floor.hub  # type: ignore[attr-defined]

    unless_left.hub = None  # type: ignore[attr-defined]
    init = execution.Execution.__init__
    execution.Execution.__init__ = keep  # type: ignore[method-assign]
    Meter.charge = unless_left  # type: ignore[method-assign]


FAULT = Fault(
    name="disconnect-billing",
    promise="the client leaves at each 1 % of a stream: the run goes on, charge = what the model sold",
    full_n=200,
    small_n=20,
    perform=perform,
    mutations=(
        Mutation(
            "the-leaver-cancels",
            removes="that a run does not know who reads it",
            patch=f"{__name__}:the_leaver_cancels",
        ),
        Mutation(
            "the-leaver-is-free",
            removes="that the charge comes from what was bought, not from what was read",
            patch=f"{__name__}:the_leaver_is_free",
        ),
    ),
)
