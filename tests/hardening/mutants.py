"""Guards of the engine, each taken away by a function that is called before a server is built.

Such a process is started for a mutation alone. What each function removes is named in the mutation.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from foundation.db import PoolDatabase
from heavy_agents.credits import Blame
from heavy_agents.events import EventLog, LeaseLost, Writer
from heavy_agents.llm.attempt import Attempt
from heavy_agents.runs import execution
from heavy_agents.runs.ending import Stop
from heavy_agents.runs.execution import Execution
from heavy_agents.runs.hearing import Hearing
from heavy_agents.runs.journal import Journal, Recorded
from heavy_agents.runs.lease import LEASE_S, Lease
from heavy_agents.runs.meter import Meter

__all__ = [
    "believe_in_lost_leases",
    "cancel_at_shutdown",
    "charge_nothing",
    "forget_broken_calls",
    "forget_steps",
    "forget_usage",
    "hear_no_cancel",
    "hide_retries",
    "keep_runs",
    "tell_before_it_is_stored",
]

# So long an event is told and not stored; longer than any reader of a busy machine is behind.
EARLY_S = 2.0


def forget_steps() -> None:
    async def find(_journal: Journal, _name: str) -> Recorded | None:
        return None

    _replace(Journal, find=find)


def hide_retries() -> None:
    def began_before(_journal: Journal, _name: str) -> int | None:
        return None

    _replace(Journal, began_before=began_before)


def forget_usage() -> None:
    meter = execution._meter

    # Any: as the function it stands for.
    def forgetful(claim, request, *, clock):  # type: ignore[no-untyped-def]
        return meter({**claim, "usage": {}}, request, clock=clock)

    _replace(execution, _meter=forgetful)


def keep_runs() -> None:
    async def release(_execution: Execution) -> str:
        return "kept"

    _replace(Execution, _release=release)


def cancel_at_shutdown() -> None:
    def shut_down(execution: Execution, *, patience_s: float) -> None:
        execution.stop(Stop.CANCEL)

    _replace(Execution, shut_down=shut_down)


def believe_in_lost_leases() -> None:
    """What is left are the fences of the database: this process goes on until it has done all it began."""
    call, stop, fail = PoolDatabase.call, Execution.stop, Writer.fail

    # Any: as the method it stands for.
    async def believing(database: PoolDatabase, function: str, **arguments: Any) -> Any:
        answer = await call(database, function, **arguments)
        return {**answer, "saved": True} if function == "switchyard_steps_save" else answer

    def stop_unless_lost(execution: Execution, reason: Stop) -> None:
        if reason is not Stop.LOST:
            stop(execution, reason)

    def fail_unless_lost(writer: Writer, reason: Exception) -> None:
        if isinstance(reason, LeaseLost):
            writer.confirm()
        else:
            fail(writer, reason)

    _replace(PoolDatabase, call=believing)
    _replace(Execution, stop=stop_unless_lost)
    _replace(Writer, fail=fail_unless_lost)
    _replace(Lease, remaining_s=property(lambda _lease: LEASE_S))


def hear_no_cancel() -> None:
    def cancel(_hearing: Hearing, _run_id: UUID) -> None:
        """Heard, and not heeded."""

    _replace(Hearing, cancel=cancel)


def charge_nothing() -> None:
    def charge(_meter: Meter, blame: Blame) -> int:
        return 0

    _replace(Meter, charge=charge)


def forget_broken_calls() -> None:
    settle = Attempt._settle

    def settle_complete(attempt: Attempt, outcome: str) -> None:
        settle(attempt, "abandoned" if outcome == "cancelled" else outcome)

    _replace(Attempt, _settle=settle_complete)


def tell_before_it_is_stored() -> None:
    """Whoever follows a run here is told of it at once, and the database a while later."""
    store, told = EventLog._store, set[Writer]()

    async def tell_and_store(log: EventLog, writers: list[Writer]) -> None:
        early = {each for each in writers if each.run_id in log._hub._subscriptions and not each._waiters}
        for writer in early - told:
            log._hub.publish(writer.run_id, writer.take())
            log._resting.add(writer)
            asyncio.get_running_loop().call_later(EARLY_S, log._go_on, writer)
        due = [each for each in writers if each not in early or each in told]
        told.difference_update(due)
        told.update(log._resting & early)
        if due:
            await store(log, due)

    _replace(EventLog, _store=tell_and_store)


def _replace(owner: object, **members: object) -> None:
    for name, member in members.items():
        setattr(owner, name, member)
