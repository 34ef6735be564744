"""The audit of the database joined with the log of the model server: what was bought is journaled or lost.

The database alone knows its own rules. Only the provider knows what it has sold; the two are joined by the id
that every try carries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from http import HTTPStatus

from tests.support.model import Asked
from tests.support.tables import Connection

__all__ = ["COMPLETE", "Begun", "audit", "begun_calls", "counted_lost", "sold"]

COMPLETE = frozenset({"complete"})


@dataclass(frozen=True, slots=True)
class Begun:
    """A call of a model that some claim was about to buy; one that is not journaled is lost."""

    id: str
    run_id: str
    step: str
    epoch: int
    is_journaled: bool


async def audit(sql: Connection, calls: Sequence[Asked], *, endings: Set[str] = COMPLETE) -> list[str]:
    """What must never be true, a sentence each; all of `calls` must be over.

    Args:
        endings: how a journaled call may have ended as the model server saw it.
    """
    broken = [f"{row['rule']}: {row['subject']}" for row in await sql.fetchval("select switchyard_audit()")]
    return [*broken, *await _stale_steps(sql), *_joined(await begun_calls(sql), calls, endings=endings)]


async def begun_calls(sql: Connection) -> list[Begun]:
    rows = await sql.fetch(
        "select c.id, c.run_id::text, c.step, c.epoch, exists ("
        "  select from switchyard.steps s where s.run_id = c.run_id and s.result ->> 'modelCall' = c.id"
        ") as is_journaled from switchyard.calls c order by c.begun_at"
    )
    return [Begun(**dict(row)) for row in rows]


async def _stale_steps(sql: Connection) -> list[str]:
    """A step is journaled by the claim that has bought its call, or by none."""
    rows = await sql.fetch(
        "select s.run_id, s.name, s.epoch, c.epoch as bought_by from switchyard.steps s"
        " join switchyard.calls c on c.id = s.result ->> 'modelCall' where c.epoch <> s.epoch"
    )
    return [
        f"the step {row['name']} of {row['run_id']} was bought by claim {row['bought_by']}"
        f" and journaled in claim {row['epoch']}"
        for row in rows
    ]


def sold(calls: Sequence[Asked]) -> list[Asked]:
    """The calls that were answered, and so have to be paid for by somebody."""
    return [call for call in calls if call.status == HTTPStatus.OK]


def counted_lost(metrics: str) -> int:
    """What a server says in its metrics of the calls it has paid for its users."""
    (line,) = [line for line in metrics.splitlines() if line.startswith("heavy_agent_lost_calls_total ")]
    return round(float(line.split()[1]))


def _joined(begun: Sequence[Begun], calls: Sequence[Asked], *, endings: Set[str]) -> list[str]:
    known = {call.id for call in begun}
    answered = Counter(call.call_id for call in sold(calls))
    wanted = {call.call_id for call in sold(calls) if call.ended in endings}
    return [
        *(f"the call {call.number} is not over" for call in calls if call.over is None),
        *(f"the call {call.number} was never begun" for call in calls if call.call_id not in known),
        *(f"the call {id_} was answered {times} times" for id_, times in answered.items() if times > 1),
        *(
            f"the call {call.id} of {call.step} is journaled and was not answered in full"
            for call in begun
            if call.is_journaled and call.id not in wanted
        ),
    ]
