"""Where a fault finds the runs of a process: which it executes, and how far each of them is."""

from __future__ import annotations

from dataclasses import dataclass

from tests.hardening.fleet import Place
from tests.support.tables import Connection

__all__ = ["CALLING", "Struck", "struck_at"]

# A run that has lost its worker so often in a row is ended by the next loss.
LAST_ATTEMPT = 3
CALLING = "while tools run"


@dataclass(frozen=True, slots=True)
class Struck:
    """A run that a process executes. `phase` is told by what of it is durable."""

    run_id: str
    phase: str
    last_seq: int
    is_on_last_attempt: bool


async def struck_at(sql: Connection, place: Place) -> list[Struck]:
    rows = await sql.fetch(
        "select r.id, r.last_seq, r.attempts, array(select name from switchyard.steps where run_id = r.id)"
        " as steps, array(select distinct e.data ->> 'step' from switchyard.events e"
        "  where e.run_id = r.id and e.type = 'chunk') as chunks"
        " from switchyard.runs r where r.status = 'running' and starts_with(r.worker, $1)",
        place.name,
    )
    return [
        Struck(
            run_id=str(row["id"]),
            phase=_phase(set(row["steps"]), set(row["chunks"])),
            last_seq=row["last_seq"],
            is_on_last_attempt=row["attempts"] >= LAST_ATTEMPT,
        )
        for row in rows
    ]


def _phase(steps: set[str], chunks: set[str]) -> str:
    found = {
        "after the answer": "turn-2" in steps,
        "in the answer": "turn-2" in chunks,
        "between the steps": len(steps) == 3,
        CALLING: "turn-1" in steps,
        "in the first turn": "turn-1" in chunks,
    }
    return next((name for name, holds in found.items() if holds), "before the first token")
