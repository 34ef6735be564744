"""Accepting a run: everything that can be refused is refused before anything is held or stored."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from foundation.clock import Clock
from foundation.db import Database
from foundation.errors import DatabaseUnavailable, Draining, HeavyError, Json
from foundation.hints import Queued
from foundation.ids import new_run_id, new_token
from foundation.settings import CreditsOwner
from foundation.telemetry import Tracer
from heavy_agents.events import Event
from heavy_agents.runs.engine import Engine
from heavy_agents.runs.input import MAX_ROW_BYTES, pack_input
from heavy_agents.runs.lease import LEASE_S
from heavy_agents.runs.request import AgentSnapshot, Message, RunRequest, Sender
from heavy_agents.runs.seen import SeenAgents
from heavy_agents.runs.timing import QUEUE_DEADLINE_S
from heavy_agents.runs.traced import stored_with_trace

__all__ = ["Order", "Submission", "Submitter"]

SUBMIT = "switchyard_runs_submit"
SUBMIT_SEEN = "switchyard_runs_submit_seen"
TRIES = 3
RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asks for. `size_bytes` decides where, not what.

    `given` is the agent itself, as a row would have it, from a service that has checked it, or from `sender`,
    another backend, which then charges for the run whoever does here.
    """

    user_id: UUID
    agent_id: UUID
    messages: tuple[Message, ...]
    input: dict[str, Json]
    conversation_id: UUID | None = None
    metadata: dict[str, Json] | None = None
    idempotency_key: str | None = None
    given: dict[str, Json] | None = None
    sender: Sender | None = None
    size_bytes: int = 0  # of the body; a large one is worked on off the loop

    @property
    def is_large(self) -> bool:
        return self.size_bytes > MAX_ROW_BYTES

    def body_hash(self) -> str:
        """SHA-256 of the canonical body: keys sorted, nothing but what makes the run this run."""
        body: dict[str, object] = {
            "agentId": str(self.agent_id),
            "messages": [[message.role, message.content] for message in self.messages],
            "input": self.input,
            "conversationId": str(self.conversation_id) if self.conversation_id else None,
            "metadata": self.metadata or {},
        }
        if self.given is not None:
            body["given"] = self.given
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


# Any: a run as the database's JSON gives it (`switchyard.run_json`).
@dataclass(frozen=True, slots=True)
class Submission:
    """`joined`: an earlier request with the same key had made this run."""

    run: dict[str, Any]
    joined: bool

    @property
    def pays_itself(self) -> bool:
        """Whether credits are held for the run, or were: who charges is decided when it is made."""
        return bool(self.run["hold_credits"] > 0)

    @property
    def begun(self) -> list[Event]:
        """The events of a fresh run, as `switchyard_runs_submit` stores them; none of one that was joined."""
        return [] if self.joined else [Event(1, "started", {"agentId": self.run["agent_id"]})]


class Submitter:
    def __init__(
        self,
        db: Database,
        engine: Engine,
        *,
        clock: Clock,
        credits_owner: CreditsOwner,
        tracer: Tracer | None = None,
    ) -> None:
        self._db = db
        self._engine = engine
        self._clock = clock
        self._credits_owner = credits_owner
        self._seen = SeenAgents()
        self._tracer = tracer or Tracer()

    async def submit(self, order: Order) -> Submission:
        """Accept a run, or join the one its idempotency key has made.

        Raises:
            AgentNotFound, InvalidBody, NotConfigured, InsufficientCredits, RateLimited, KeyConflict,
            Draining, DatabaseUnavailable: nothing was held and nothing stored (after the last one: unless
            the answer was lost thrice, and then the run is executed and a retry with its key joins it).
        """
        with self._tracer.span("run.submit") as span:
            submission = await self._submit(order)
            span.set("switchyard.run.id", submission.run["run_id"])
            span.set("switchyard.agent.kind", submission.run["kind"])
            span.set("switchyard.run.joined", submission.joined)
            return submission

    async def _submit(self, order: Order) -> Submission:
        if self._engine.is_draining:
            raise Draining("this server is restarting; send the request again")
        if (run := await self._earlier(order)) is not None:
            return Submission(run, joined=True)
        if (submission := await self._with_seen_agent(order)) is not None:
            return submission
        agent = await self._agent(order)
        if order.is_large or agent.is_large:
            arguments = await asyncio.to_thread(self._checked, order, agent)
        else:
            arguments = self._checked(order, agent)
        # A large one takes a while to store; a lease that began before would be nearly over.
        stored = await self._store(SUBMIT, arguments, may_claim=not order.is_large)
        assert stored is not None  # noqa: S101 - only the other function answers null
        return stored

    async def _with_seen_agent(self, order: Order) -> Submission | None:
        """The run, if the order's agent is as this process has seen it before; None says nothing was done."""
        agent = None if order.given is not None or order.is_large else self._seen.get(order.agent_id)
        if agent is None:
            return None
        try:
            arguments = self._checked(order, agent)
        except HeavyError:
            # A refusal may tell what stands in the row, which may have changed, and to whom it is shown.
            return None
        stored = await self._store(SUBMIT_SEEN, arguments, may_claim=True)
        if stored is None:
            self._seen.forget(order.agent_id)
        return stored

    # Any: a run as the database's JSON gives it.
    async def _earlier(self, order: Order) -> dict[str, Any] | None:
        """The run the order's key has made, also when its agent has changed or gone since."""
        if order.idempotency_key is None:
            return None
        run: dict[str, Any] | None = await self._db.call(
            "switchyard_runs_join",
            user_id=order.user_id,
            key=order.idempotency_key,
            body_hash=await self._hash(order),
        )
        return run

    async def _agent(self, order: Order) -> AgentSnapshot:
        """What the run keeps of its agent; the price is the row's, also when a service sends it along."""
        if order.given is None:
            row = await self._db.call("switchyard_agents_get", user_id=order.user_id, agent_id=order.agent_id)
            agent = AgentSnapshot.from_json(row)
            if not agent.is_large:
                self._seen.keep(order.agent_id, agent)
            return agent
        if order.sender is not None:
            # Another backend has a price of its own, and an id that means nothing here.
            return AgentSnapshot.given(order.agent_id, order.given, price=None, sender=order.sender)
        price = await self._db.call("switchyard_agents_price", agent_id=order.agent_id)
        return AgentSnapshot.given(order.agent_id, order.given, price=price)

    async def _hash(self, order: Order) -> str:
        return await asyncio.to_thread(order.body_hash) if order.is_large else order.body_hash()

    def _checked(self, order: Order, agent: AgentSnapshot) -> dict[str, Json]:
        request = RunRequest(order.messages, order.input, agent, order.conversation_id)
        self._engine.agent(agent.kind).check(request)
        return self._arguments(order, agent)

    async def _store(
        self, function: str, arguments: dict[str, Json], *, may_claim: bool
    ) -> Submission | None:
        """None if the function has done nothing."""
        has_slot = may_claim and self._engine.reserve()
        adopted = False
        try:
            sent_at_s = self._clock.monotonic()
            answer = await self._call(
                function, {**arguments, "worker": self._engine.worker if has_slot else None}
            )
            if answer is None:
                return None
            if has_slot and answer["claim"] is not None:
                self._engine.adopt(answer["claim"], sent_at_s=sent_at_s)
                adopted = True
            elif (run := answer["run"])["status"] == "queued":
                self._engine.queued(Queued(UUID(run["run_id"]), run["attempts"], run["kind"]))
        finally:
            if has_slot and not adopted:
                self._engine.unreserve()
        return Submission(answer["run"], answer["joined"])

    # Any: the answer of the function.
    async def _call(self, function: str, arguments: Mapping[str, Json]) -> dict[str, Any] | None:
        """Safe to repeat: the run's id is ours, and a run that is there already is only answered."""
        for tried in range(1, TRIES + 1):
            try:
                answer: dict[str, Any] | None = await self._db.call(function, **arguments)
            except DatabaseUnavailable:
                if tried == TRIES:
                    raise
                await asyncio.sleep(RETRY_S * tried)
            else:
                return answer
        raise AssertionError("unreachable")

    def _arguments(self, order: Order, agent: AgentSnapshot) -> dict[str, Json]:
        owner = self._credits_owner if order.sender is None else CreditsOwner.CALLER
        is_charged = owner is CreditsOwner.BACKEND
        packed = pack_input(order.input)
        return {
            "run_id": str(new_run_id()),
            "user_id": str(order.user_id),
            "agent_id": str(order.agent_id),
            "agent": stored_with_trace(agent.stored, self._tracer),
            "messages": [{"role": message.role, "content": message.content} for message in order.messages],
            "input": order.input if packed is None else None,
            "input_base64": packed,
            "conversation_id": str(order.conversation_id) if order.conversation_id else None,
            "metadata": order.metadata or {},
            "key": order.idempotency_key,
            "body_hash": order.body_hash(),
            "credits_owner": owner.value,
            "hold_credits": agent.price.ceiling if is_charged else 0,
            "deadline_s": agent.deadline_s,
            "queue_deadline_s": QUEUE_DEADLINE_S,
            "token": str(new_token()),
            "lease_s": LEASE_S,
        }
