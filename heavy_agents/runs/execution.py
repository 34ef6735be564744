"""One claim of one run, from the first call of its agent to its end, its release or its loss.

The agent runs in a task of its own beside a stop signal; whichever comes first decides. What is written at
the end is fenced by the lease's token and safe to repeat, so a lost answer is simply asked for again.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog

from foundation.clock import Clock
from foundation.db import Database
from foundation.errors import HeavyError, InternalError
from foundation.hints import Deaf, Hints, Queued
from foundation.telemetry import Metrics, Tracer
from heavy_agents.credits import Usage
from heavy_agents.events import Event, EventLog, Hub, LeaseLost, decode
from heavy_agents.runs.agent import Agent
from heavy_agents.runs.answer import AgentFailed, Answer, CreditExhausted
from heavy_agents.runs.context import Compute, Context
from heavy_agents.runs.ending import Ending, Stop, failed, stopped, succeeded
from heavy_agents.runs.ends import Ends
from heavy_agents.runs.journal import Journal
from heavy_agents.runs.lease import Lease
from heavy_agents.runs.meter import Meter
from heavy_agents.runs.request import RunRequest
from heavy_agents.runs.timing import QUEUE_DEADLINE_S

__all__ = ["Execution", "Floor"]

log = structlog.get_logger(__name__)

AGENT_STOP_S = 2.0
# What kills its process mostly does so at once, and others must not wait long for who does not.
SUSPECT_S = 5.0
# Expected, and told to the person; anything else, and what is our own fault, is worth a trace.
SPOKEN = (AgentFailed, CreditExhausted, HeavyError)


class Floor:
    """What every execution of this process stands on."""

    def __init__(
        self,
        *,
        db: Database,
        lease_db: Database,
        events: EventLog,
        hub: Hub,
        compute: Compute,
        metrics: Metrics,
        clock: Clock,
        hints: Hints | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """`lease_db` has connections of its own: requests must never keep a heartbeat waiting."""
        self.db = db
        self.lease_db = lease_db
        self.events = events
        self.hub = hub
        self.compute = compute
        self.metrics = metrics
        self.clock = clock
        self.hints = hints or Deaf()
        self.tracer = tracer or Tracer()


class Execution:
    _agent_stop_s = AGENT_STOP_S

    # Any: the claim as the database's JSON gives it.
    def __init__(
        self,
        floor: Floor,
        agent: Agent,
        *,
        claim: Mapping[str, Any],
        request: RunRequest,
        lease: Lease,
        ends: Ends,
    ) -> None:
        self.run_id = UUID(claim["run_id"])
        self._waiting = Queued(self.run_id, claim["epoch"], agent.kind)
        self.lease = lease
        self._floor = floor
        self._agent = agent
        self._ends = ends
        self._deadline_s = _deadline_s(claim["deadline_in_ms"], floor.clock)
        self._stop: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        self._suspect_until_s = _suspect_until_s(claim, floor.clock)
        self._meter = _meter(claim, request, clock=floor.clock)
        self._writer = floor.events.open(self.run_id, lease.token, last_seq=claim["last_seq"])
        # What an earlier claim was buying when it was lost; the user does not pay for it.
        floor.metrics.lost_calls_total.inc(claim["lost_calls"])
        self._journal = Journal(floor.db, lease, claim)
        self._context = Context(
            run_id=self.run_id,
            user_id=UUID(claim["user_id"]),
            attempt=claim["epoch"],
            request=request,
            db=floor.db,
            lease=lease,
            writer=self._writer,
            journal=self._journal,
            meter=self._meter,
            compute=floor.compute,
            tracer=floor.tracer,
            stopping=self._stopping,
            # After a lost worker text was seen before, or waited for too long to tell.
            first_chunk=floor.metrics.first_chunk_seconds.observe if claim["epoch"] == 1 else None,
        )

    @property
    def agent_id(self) -> UUID | None:
        return self._context.request.agent.id

    @property
    def _has_own_deadline(self) -> bool:
        return self._context.request.agent.has_own_deadline

    @property
    def is_suspect(self) -> bool:
        """Whether it has lost so many workers in a row that nothing else should be begun beside it yet."""
        return self._floor.clock.monotonic() < self._suspect_until_s and not self._journal.has_grown

    def shut_down(self, *, patience_s: float) -> None:
        """Give the run back: nobody waits long for an agent while the process must leave."""
        self._agent_stop_s = min(patience_s, AGENT_STOP_S)
        self.stop(Stop.SHUTDOWN)

    def stop(self, reason: Stop) -> None:
        """Stop the run; the first reason given counts."""
        if not self._stop.done():
            self._stop.set_result(reason)

    def _stopping(self) -> Stop | None:
        return self._stop.result() if self._stop.done() else None

    async def run(self) -> str:
        """Execute; answers the status the run has afterwards, or `lost`."""
        try:
            return await self._run()
        except LeaseLost:
            log.warning("lease_lost")
            return "lost"
        finally:
            self._writer.fail(LeaseLost())
            self._floor.events.forget(self._writer)

    async def _run(self) -> str:
        outcome = await self._agent_or_stop()
        match outcome:
            case Ending():
                return await self._finish(outcome)
            case Stop.CANCEL | Stop.DEADLINE:
                return await self._finish(stopped(outcome, has_own_deadline=self._has_own_deadline))
            case Stop.SHUTDOWN:
                return await self._release()
            case Stop.LOST:
                raise LeaseLost

    async def _agent_or_stop(self) -> Ending | Stop:
        work = asyncio.create_task(self._agent.run(self._context), name=f"agent.{self.run_id}")
        try:
            while True:
                limit_s = min(self.lease.remaining_s, self._deadline_s - self._floor.clock.monotonic())
                either: set[asyncio.Future[Any]] = {work, self._stop, self._writer.failure}
                await asyncio.wait(either, timeout=max(limit_s, 0), return_when=asyncio.FIRST_COMPLETED)
                if self._stop.done():
                    return self._stop.result()
                if work.done():
                    return self._ending(work)
                if self._writer.failure.done():
                    return self._unwritable(self._writer.failure.result())
                if not self.lease.holds:
                    return Stop.LOST
                if self._floor.clock.monotonic() >= self._deadline_s:
                    self.stop(Stop.DEADLINE)
        finally:
            await self._end(work)

    def _unwritable(self, reason: Exception) -> Ending | Stop:
        return Stop.LOST if isinstance(reason, LeaseLost) else failed(reason)

    def _ending(self, work: asyncio.Task[Answer]) -> Ending:
        if work.cancelled():
            return failed(asyncio.CancelledError())
        error = work.exception()
        if isinstance(error, LeaseLost) or (
            isinstance(error, BaseExceptionGroup) and error.subgroup(LeaseLost) is not None
        ):
            raise LeaseLost
        if error is not None:
            # What an agent says to the person may repeat what a model or a stranger's server said.
            if isinstance(error, SPOKEN) and not isinstance(error, InternalError):
                log.warning("agent_failed")
            else:
                log.error("agent_failed", kind=self._agent.kind, exc_info=error)
            return failed(error)
        return succeeded(work.result())

    async def _end(self, work: asyncio.Task[Answer]) -> None:
        work.cancel()
        within_s = self._agent_stop_s
        _, late = await asyncio.wait({work}, timeout=within_s)
        are_over = await self._context.stop_steps(within_s=within_s)
        if late or not are_over:
            log.error("agent_ignores_cancellation", within_s=within_s)

    async def _finish(self, ending: Ending) -> str:
        try:
            return await self._end_with(ending, await self._close())
        except HeavyError as error:
            # An event or the answer cannot be stored: the run ends all the same, and says so.
            log.exception("ending_refused", status=ending.status)
            return await self._end_with(failed(error), [])

    async def _end_with(self, ending: Ending, events: list[Event]) -> str:
        answer = await self.lease.insist(
            lambda: self._floor.db.call(
                "switchyard_runs_finish",
                run_id=self.run_id,
                token=self.lease.token,
                status=ending.status,
                code=ending.code,
                error=ending.error,
                response=ending.response,
                output=ending.output,
                usage=self._meter.usage.to_json(),
                charge_credits=self._meter.charge(ending.blame),
                events=[event.to_json() for event in events],
            )
        )
        if not answer["finished"]:
            raise LeaseLost
        self._floor.hub.publish(self.run_id, [*events, *decode([answer["event"]])])
        self._ends.count(answer.get("end"), is_platforms=ending.is_platforms)
        if ending.status == "failed" and ending.code is not None:
            self._floor.tracer.current.fail(ending.code)
        return ending.status

    async def _close(self) -> list[Event]:
        """The events that are still to be stored, once those under way are."""
        while True:
            try:
                async with asyncio.timeout(self.lease.remaining_s):
                    return await self._writer.close()
            except TimeoutError:
                if not self.lease.holds:
                    raise LeaseLost from None

    async def _release(self) -> str:
        events = await self._close()
        answer = await self.lease.insist(
            lambda: self._floor.db.call(
                "switchyard_runs_release",
                run_id=self.run_id,
                token=self.lease.token,
                events=[event.to_json() for event in events],
                queue_deadline_s=QUEUE_DEADLINE_S,
            )
        )
        if answer["released"]:
            self._floor.hub.publish(self.run_id, events)
            self._floor.hints.queued([self._waiting])
        return "queued"


# Any: as in `Execution`.
def _suspect_until_s(claim: Mapping[str, Any], clock: Clock) -> float:
    # A run that is claimed as it is submitted has lost nobody.
    return clock.monotonic() + SUSPECT_S if claim.get("is_suspect") else -math.inf


# Any: as in `Execution`.
def _meter(claim: Mapping[str, Any], request: RunRequest, *, clock: Clock) -> Meter:
    return Meter(
        request.agent.price,
        is_held=claim["hold_credits"] > 0,
        journaled=Usage.from_json(claim["usage"]),
        executed_ms=claim["executed_ms"],
        clock=clock,
    )


def _deadline_s(in_ms: int | None, clock: Clock) -> float:
    """The deadline on this process's monotonic clock; infinite when there is none."""
    return math.inf if in_ms is None else clock.monotonic() + in_ms / 1000
