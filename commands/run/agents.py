"""Which agent a name means.

Pure. Names are compared without case; a name that several agents have means none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from commands.run.refused import Refused
from commands.run.words import one_line

__all__ = ["Agent", "agent_id_of", "choose", "names_of"]

MOST_LISTED: Final = 12


@dataclass(frozen=True, slots=True)
class Agent:
    id: str
    name: str

    @classmethod
    # Any: an agent of the wire.
    def of(cls, document: dict[str, Any]) -> Agent:
        return cls(str(document["id"]), str(document["name"]))


def agent_id_of(text: str) -> str | None:
    """`text` as an id; None when it is a name."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def choose(wanted: str, agents: Sequence[Agent]) -> Agent:
    """The one agent of that name.

    Raises:
        Refused: none has it, or several; the line lists what fits.
    """
    name = wanted.strip().casefold()
    same = [each for each in agents if each.name.strip().casefold() == name]
    if len(same) == 1:
        return same[0]
    if same:
        raise Refused([f"{_quoted(wanted)} is the name of several agents; give an id: {_ids(same)}"])
    near = [each for each in agents if name in each.name.casefold()] or list(agents)
    if not near:
        raise Refused([f"no agent is named {_quoted(wanted)}; there is none that you may run"])
    raise Refused([f"no agent is named {_quoted(wanted)}; there is: {names_of(near)}"])


def _ids(agents: Sequence[Agent]) -> str:
    return ", ".join(f"{each.id} ({one_line(each.name, limit=40)})" for each in agents[:MOST_LISTED])


def names_of(agents: Sequence[Agent]) -> str:
    """For a person: their names, or `none`."""
    names = sorted(
        {one_line(each.name, limit=40) for each in agents}, key=lambda name: (name.casefold(), name)
    )
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return (", ".join(names[:MOST_LISTED]) or "none") + more


def _quoted(text: str) -> str:
    return f"“{one_line(text, limit=60)}”"
