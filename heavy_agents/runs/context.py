"""What an agent gets to work with: emit, step, process, artifact, progress, history, spend, budget."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Protocol
from urllib.parse import quote
from uuid import UUID

from foundation.db import Database
from foundation.errors import Json
from foundation.telemetry import Tracer
from foundation.workers import Progress
from heavy_agents.credits import Usage
from heavy_agents.events import RELAYED, LeaseLost, Writer, tidy
from heavy_agents.runs.answer import CreditExhausted
from heavy_agents.runs.ending import Stop
from heavy_agents.runs.journal import Journal
from heavy_agents.runs.lease import Lease
from heavy_agents.runs.meter import Budget, Meter
from heavy_agents.runs.request import Message, RunRequest
from heavy_agents.runs.traced import step_span

__all__ = ["OUR_STEP", "Compute", "Context"]

# Steps the platform takes for an agent begin so; an agent's own do not.
OUR_STEP = "@"

# So many characters fit into one event however they are written in JSON.
CHUNK_CHARS = 10_000


class Compute(Protocol):
    """Where heavy computation runs: `foundation.workers.WorkerPool`."""

    async def run(
        self,
        target: str,
        arguments: dict[str, Json],
        *,
        timeout_s: float,
        on_progress: Callable[[Progress], Awaitable[None]] | None = None,
    ) -> Json: ...


class Context:
    """One claim of one run. Every method may raise LeaseLost, which an agent must let pass."""

    def __init__(
        self,
        *,
        run_id: UUID,
        user_id: UUID,
        attempt: int,
        request: RunRequest,
        db: Database,
        lease: Lease,
        writer: Writer,
        journal: Journal,
        meter: Meter,
        compute: Compute,
        stopping: Callable[[], Stop | None],
        tracer: Tracer | None = None,
        first_chunk: Callable[[float], None] | None = None,
    ) -> None:
        """
        Args:
            stopping: why the run has been told to stop; None while it has not.
            first_chunk: is told once how many seconds after the first claim the first text came.
        """
        self.run_id = run_id
        self.user_id = user_id
        self.attempt = attempt
        self.request = request
        self.tracer = tracer or Tracer()
        self._db = db
        self._lease = lease
        self._writer = writer
        self._journal = journal
        self._meter = meter
        self._compute = compute
        self._stopping = stopping
        self._first_chunk = first_chunk
        self._steps: set[asyncio.Task[Json]] = set()
        self._step_name: ContextVar[str | None] = ContextVar("step_name", default=None)

    @property
    def usage(self) -> Usage:
        """What the run has used, earlier claims included."""
        return self._meter.usage

    @property
    def budget(self) -> Budget:
        """What may still be used before the hold is reached."""
        return self._meter.budget

    @property
    def cancelled(self) -> bool:
        """Whether the run is to stop; whoever awaits is stopped anyway, a loop that does not should ask."""
        return self._stopping() is not None

    @property
    def is_ending(self) -> bool:
        """Whether it stops for good: cancelled or out of time. Otherwise somebody else goes on with it."""
        return self._stopping() in {Stop.CANCEL, Stop.DEADLINE}

    # Any: an event's fields are the agent's own; `tidy` makes them JSON or refuses.
    async def emit(self, type_: str, **data: Any) -> None:
        """Append an event to the run's log; inside a step it carries the step's name."""
        step = self._step_name.get()
        await self._writer.emit(type_, data if step is None else {**data, "step": step})

    async def chunk(self, content: str) -> None:
        """Text for the person, as it comes."""
        if not content:
            return
        for start in range(0, len(content), CHUNK_CHARS):
            await self.emit("chunk", content=content[start : start + CHUNK_CHARS])
        self._note_first_chunk()

    async def relay(self, type_: str, data: dict[str, Json], *, number: int) -> None:
        """An event of a run elsewhere, where it has this number; its step, if any, is one of that run."""
        await self._writer.emit(type_, {**data, RELAYED: number})
        if type_ == "chunk":
            self._note_first_chunk()

    async def relayed(self, *, upto: int | None = None) -> tuple[int, int]:
        """The last event relayed, of those numbered at most `upto` there: its number here, and there.

        1 and 0 when there is none. What was relayed until now is durable then.
        """
        await self._writer.flushed()
        found = await self._lease.insist(
            lambda: self._db.call(
                "switchyard_events_relayed", run_id=self.run_id, token=self._lease.token, upto=upto
            )
        )
        if found is None:
            raise LeaseLost
        return found["seq"], found["relayed"]

    async def progress(self, fraction: float, note: str) -> None:
        """How far the run is: `fraction` 0 to 1."""
        await self.emit("progress", fraction=round(min(max(fraction, 0.0), 1.0), 4), note=note)

    async def step(self, name: str, work: Callable[[], Awaitable[Json]]) -> Json:
        """Do `work` once and journal its JSON result; after a crash the result is read instead.

        Raises:
            CreditExhausted: what was used so far already costs more than what is held.
        """
        if (recorded := await self._journal.find(name)) is not None:
            return recorded.result
        if self._meter.is_exhausted:
            raise CreditExhausted
        # A task of its own: the step's name and usage then end with it, also when steps run in parallel.
        step = asyncio.create_task(self._do(name, work), name=f"step.{name}")
        self._steps.add(step)
        step.add_done_callback(self._steps.discard)
        return await step

    async def stop_steps(self, *, within_s: float) -> bool:
        """End the steps that outlive their agent, as siblings of a failed one do; false when one does not."""
        for step in self._steps:
            step.cancel()
        if not self._steps:
            return True
        _, late = await asyncio.wait(tuple(self._steps), timeout=within_s)
        return not late

    async def process(
        self,
        step: str,
        target: str,
        arguments: dict[str, Json],
        *,
        timeout_s: float,
        progress: tuple[float, float] = (0.0, 1.0),
    ) -> Json:
        """Run `target` in a process of its own as one journaled step.

        Its progress is shown as the part `progress` of the run's. Raises what `WorkerPool.run` raises.
        """
        low, high = progress

        async def show(told: Progress) -> None:
            await self.progress(low + (high - low) * told.fraction, told.note)

        async def work() -> Json:
            began_s = asyncio.get_running_loop().time()
            self.spend(Usage(compute_jobs=1))
            result = await self._compute.run(target, arguments, timeout_s=timeout_s, on_progress=show)
            took_s = asyncio.get_running_loop().time() - began_s
            self.spend(Usage(compute_ms=round(took_s * 1000)))
            return result

        return await self.step(step, work)

    async def artifact(self, name: str, *, media_type: str, content: bytes) -> None:
        """Keep a file with the run, and tell its readers; the same name again replaces it."""
        await self.emit("artifact", **await self.keep(name, media_type=media_type, content=content))

    async def keep(self, name: str, *, media_type: str, content: bytes) -> dict[str, Json]:
        """Keep a file with the run; what its readers are told of it."""
        encoded = base64.b64encode(content).decode()
        answer = await self._lease.insist(
            lambda: self._db.call(
                "switchyard_blobs_write",
                run_id=self.run_id,
                token=self._lease.token,
                name=name,
                media_type=media_type,
                base64=encoded,
            )
        )
        if not answer["written"]:
            raise LeaseLost
        url = f"/api/runs/{self.run_id}/artifacts/{quote(name, safe='')}"
        return {"name": name, "mediaType": media_type, "size": len(content), "url": url}

    async def history(self) -> list[Message]:
        """The conversation up to and with this run's own turns; without one, what was sent. Journaled."""
        if self.request.conversation_id is None:
            return list(self.request.messages)
        rows = await self.step(f"{OUR_STEP}history", self._history)
        assert isinstance(rows, list)  # noqa: S101 - as the step made it
        turns = (row for row in rows if isinstance(row, dict))
        return [Message(str(turn["role"]), str(turn["content"])) for turn in turns]

    async def begin_call(self, call_id: str) -> None:
        """Note that a model call is about to be bought, under the lease, so that a crash cannot hide it.

        Raises:
            LeaseLost: the run belongs to somebody else; nothing must be bought.
        """
        answer = await self._lease.insist(
            lambda: self._db.call(
                "switchyard_calls_begin",
                run_id=self.run_id,
                token=self._lease.token,
                id=call_id,
                step=self._step_name.get(),
            )
        )
        if not answer["begun"]:
            raise LeaseLost

    def spend(self, usage: Usage) -> None:
        """Count what was used, at the moment it was bought."""
        self._meter.spend(usage)

    def key(self, name: str) -> str:
        """An idempotency key for something outside: the same at every try of this run."""
        return f"{self.run_id}:{name}"

    def _note_first_chunk(self) -> None:
        if self._first_chunk is not None:
            self._first_chunk(self._meter.elapsed_ms / 1000)
            self._first_chunk = None

    async def _history(self) -> Json:
        rows: Json = await self._lease.insist(
            lambda: self._db.call(
                "switchyard_conversations_history", run_id=self.run_id, token=self._lease.token
            )
        )
        if rows is None:
            raise LeaseLost
        return rows

    async def _do(self, name: str, work: Callable[[], Awaitable[Json]]) -> Json:
        with step_span(self.tracer, name):
            return await self._do_and_journal(name, work)

    async def _do_and_journal(self, name: str, work: Callable[[], Awaitable[Json]]) -> Json:
        self._step_name.set(name)
        used = self._meter.open_step()
        if (discard_after := self._journal.began_before(name)) is not None:
            self.tracer.current.event("retry", {"attempt": self.attempt})
            await self.emit("retry", attempt=self.attempt, discardAfter=discard_after)
        # Who slept past a lease begins nothing that others may have done; the journal would notice too late.
        if not self._lease.holds:
            raise LeaseLost
        began_ms = self._meter.elapsed_ms
        result = tidy(await work())
        await self._writer.flushed()
        await self._journal.save(
            name,
            result,
            usage=used.usage,
            accrued_credits=self._meter.journal(used.usage),
            duration_ms=self._meter.elapsed_ms - began_ms,
        )
        return result
