"""Who executes what in this process: claims runs, keeps their leases alive, reaps what others lost.

Three loops and the executions they own:

    claim      when woken or every 2 s: as many queued runs as there are free slots
    heartbeat  every second, one statement for all leases; answers what is lost and what is to be cancelled
    reap       when a lease ends: those of any process back to the queue, or to an end

An engine without slots executes nothing and reaps all the same: it stands behind a front door.

A run is executed by whoever holds its lease, and by nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog

from foundation.errors import DatabaseUnavailable, NotConfigured
from foundation.hints import Queued
from foundation.lifecycle import TaskOwner
from foundation.telemetry import Metrics, bind
from heavy_agents.runs.agent import Agent
from heavy_agents.runs.ending import Stop
from heavy_agents.runs.ends import Ends
from heavy_agents.runs.execution import Execution, Floor
from heavy_agents.runs.heart import Heart
from heavy_agents.runs.input import load_input
from heavy_agents.runs.lease import LEASE_S, Lease
from heavy_agents.runs.presence import Capacity
from heavy_agents.runs.reaper import Reaper
from heavy_agents.runs.request import AgentSnapshot, Message, RunRequest
from heavy_agents.runs.timing import IDLE_CLAIM_S, PURGE_S
from heavy_agents.runs.traced import execution_span

__all__ = ["Engine"]

log = structlog.get_logger(__name__)

# Of a drain, what an agent that ignores its cancellation may take before its run is given back all the same.
PATIENCE_SHARE = 0.1
DRAIN_LOOK_S = 0.02
# Cancels of runs that are elsewhere, for claims on their way; what is forgotten a heartbeat brings.
WISHES = 256


class Engine:
    """Service: the runs of this process."""

    def __init__(
        self,
        floor: Floor,
        agents: Mapping[str, Agent],
        *,
        worker: str,
        slots: int,
        retention_days: int,
        drain_s: float = 25.0,
    ) -> None:
        """
        Args:
            slots: runs at once; 0 to execute none.
            drain_s: what the whole process has between SIGTERM and its end.
        """
        self.worker = worker
        self._floor = floor
        self._agents = agents
        self._slots = slots
        self._patience_s = drain_s * PATIENCE_SHARE
        self._executions: dict[UUID, Execution] = {}
        # Of runs that are not here, oldest first: a claim may be on its way whose answer does not know of it.
        self._cancelled: deque[UUID] = deque(maxlen=WISHES)
        self._reserved = 0
        self.ends = Ends(floor.metrics, agents)
        self._heart = Heart(floor.lease_db, worker=worker, leased=self._executions, clock=floor.clock)
        self._reaper = Reaper(
            floor.db,
            self.ends,
            retention_days=retention_days,
            queued=self.queued,
            ended=floor.hub.written,
        )
        self.is_draining = False
        self._is_starved = False
        self._woken = asyncio.Event()
        self._loops = TaskOwner("engine")
        self._runs = TaskOwner("runs")
        self._show(floor.metrics)

    async def start(self) -> None:
        if self._slots:
            self._loops.spawn("claim", self._claim_for_ever())
            self._loops.spawn("heartbeat", self._heart.beat_for_ever())
        self._loops.spawn("reap", self._reaper.reap_for_ever())
        self._loops.every("purge", seconds=PURGE_S, work=self._reaper.purge)

    async def drain(self) -> None:
        """Claim nothing new and give back every run, so that another process goes on at once."""
        began_s = self._floor.clock.monotonic()
        self.is_draining = True
        runs = len(self._executions)
        for execution in list(self._executions.values()):
            execution.shut_down(patience_s=self._patience_s)
        try:
            while self._executions or self._reserved:
                await asyncio.sleep(DRAIN_LOOK_S)
        finally:
            took_ms = round((self._floor.clock.monotonic() - began_s) * 1000)
            log.info("runs_given_back", runs=runs, left=len(self._executions), took_ms=took_ms)

    async def stop(self) -> None:
        self.is_draining = True
        await self._loops.stop()
        await self._runs.stop()

    @property
    def capacity(self) -> Capacity:
        return Capacity(active=len(self._executions), slots=self._slots)

    def _show(self, metrics: Metrics) -> None:
        """What there is to tell before anything has happened."""
        metrics.active_agents_count.set_function(
            lambda: len({execution.agent_id for execution in self._executions.values()})
        )
        for kind in self._agents:
            metrics.active_runs.labels(kind=kind)

    def agent(self, kind: str) -> Agent:
        """Raises NotConfigured: this release runs no agent of that kind."""
        try:
            return self._agents[kind]
        except KeyError:
            raise NotConfigured(
                f"no agent of kind {kind!r} runs here; known: {', '.join(self._agents)}"
            ) from None

    def reserve(self) -> bool:
        """Keep a slot for a run about to be submitted; `adopt` uses it up, `unreserve` gives it back."""
        if self.is_draining or self._free <= 0:
            return False
        self._reserved += 1
        return True

    def unreserve(self) -> None:
        self._reserved -= 1

    def wake(self) -> None:
        """There may be something to claim."""
        self._woken.set()

    def queued(self, run: Queued) -> None:
        """A run waits: whoever has room, here or elsewhere, claims it."""
        self.wake()
        self._floor.hints.queued([run])

    # Any: a claim as the database's JSON gives it.
    def adopt(self, claim: Mapping[str, Any], *, sent_at_s: float) -> None:
        """Execute a run this process has been given, in a reserved slot.

        `sent_at_s`: monotonic time before the run was asked for.
        """
        lease = Lease(UUID(claim["token"]), sent_at_s=sent_at_s, clock=self._floor.clock)
        self._runs.spawn(claim["run_id"], self._execute(claim, lease))

    def cancel(self, run_id: UUID) -> None:
        """Stop a run whose cancel is stored, wherever it is executed; its heartbeat brings the news too."""
        self.cancel_here(run_id)
        self._floor.hints.cancel(run_id)

    def cancel_here(self, run_id: UUID) -> None:
        """Stop a run at once if it is executed here, or about to be."""
        if (execution := self._executions.get(run_id)) is not None:
            execution.stop(Stop.CANCEL)
        else:
            self._cancelled.append(run_id)

    def ended(self, run_id: UUID) -> None:
        """The database itself has ended a run: its followers, here and elsewhere, read how."""
        self._floor.hub.written(run_id)

    @property
    def kinds(self) -> list[str]:
        """Of runs that are executed here."""
        return list(self._agents) if self._slots else []

    @property
    def free(self) -> int:
        """Runs that may begin here now; none once this process leaves."""
        return 0 if self.is_draining else max(self._free, 0)

    @property
    def _free(self) -> int:
        """None beside a run that may be about to end this process: they would be lost with it."""
        if any(execution.is_suspect for execution in self._executions.values()):
            return 0
        return self._slots - len(self._executions) - self._reserved

    # Any: as `adopt`.
    async def _execute(self, claim: Mapping[str, Any], lease: Lease) -> None:
        traced = execution_span(self._floor.tracer, claim)
        with traced as span, bind(run_id=claim["run_id"], trace_id=span.trace_id):
            await self._execute_claim(claim, lease)

    # Any: as `adopt`.
    async def _execute_claim(self, claim: Mapping[str, Any], lease: Lease) -> None:
        try:
            execution = await self._prepare(claim, lease)
            self._begin(execution)
        finally:
            self.unreserve()
        if claim["cancel_requested"] or execution.run_id in self._cancelled:
            execution.stop(Stop.CANCEL)
        if self.is_draining:
            execution.shut_down(patience_s=self._patience_s)
        metrics, kind = self._floor.metrics, claim["kind"]
        if claim["epoch"] == 1:  # afterwards the time of execution would be in it
            metrics.queue_seconds.observe(claim["waited_ms"] / 1000)
        try:
            with metrics.active_runs.labels(kind=kind).track_inprogress():
                status = await execution.run()
            self._floor.tracer.current.set("switchyard.run.status", status)
            log.info("run_left", kind=kind, status=status, epoch=claim["epoch"])
        finally:
            self._end(execution)

    def _begin(self, execution: Execution) -> None:
        """A run may come back to the process that lost it, and find its old execution still stopping."""
        if (earlier := self._executions.get(execution.run_id)) is not None:
            earlier.stop(Stop.LOST)
        self._executions[execution.run_id] = execution

    def _end(self, execution: Execution) -> None:
        if self._executions.get(execution.run_id) is execution:
            del self._executions[execution.run_id]
        if self._is_starved:
            self.wake()

    # Any: as `adopt`.
    async def _prepare(self, claim: Mapping[str, Any], lease: Lease) -> Execution:
        request = RunRequest(
            messages=tuple(Message(**message) for message in claim["messages"]),
            input=await load_input(self._floor.db, claim, lease),
            agent=AgentSnapshot.from_json(claim["agent"]),
            conversation_id=UUID(claim["conversation_id"]) if claim["conversation_id"] else None,
        )
        return Execution(
            self._floor, self.agent(claim["kind"]), claim=claim, request=request, lease=lease, ends=self.ends
        )

    async def _claim_for_ever(self) -> None:
        while not self.is_draining:
            self._woken.clear()
            try:
                await self._claim()
            except Exception as error:
                # A loop that ended would leave every queued run to others, or to nobody.
                log.log(_level(error), "claim_failed", exc_info=_unexpected(error))
            try:
                await asyncio.wait_for(self._woken.wait(), IDLE_CLAIM_S)
            except TimeoutError:
                continue

    async def _claim(self) -> None:
        free = self._free
        self._is_starved = free <= 0
        if self._is_starved:
            return
        sent_at_s = self._floor.clock.monotonic()
        self._reserved += free
        claims: list[dict[str, Any]] = []  # Any: as `adopt`
        try:
            claims = await self._floor.db.call(
                "switchyard_runs_claim",
                worker=self.worker,
                kinds=list(self._agents),
                limit=free,
                slots=self._slots,
                lease_s=LEASE_S,
            )
        finally:
            self._reserved -= free - len(claims)
        self._is_starved = len(claims) == free
        for claim in claims:
            self.adopt(claim, sent_at_s=sent_at_s)


def _level(error: Exception) -> int:
    return logging.WARNING if _unexpected(error) is None else logging.ERROR


def _unexpected(error: Exception) -> Exception | None:
    """What is worth a trace: that the database is away is not."""
    return None if isinstance(error, DatabaseUnavailable | TimeoutError) else error
