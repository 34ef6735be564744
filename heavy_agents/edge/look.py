"""What decides where a request goes, as the database tells it in one look, and the plan limit beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from foundation.db import Database
from heavy_agents.edge.functions import Function, read_functions
from heavy_agents.runs import AgentSnapshot

__all__ = ["Look", "Looks", "RoutedAgent"]


@dataclass(frozen=True, slots=True)
class RoutedAgent:
    """`snapshot` and `functions` of a heavy agent hold only what decides: its run reads the row itself."""

    id: UUID
    is_published: bool
    is_owned: bool
    is_heavy: bool
    railway_url: str | None
    snapshot: AgentSnapshot
    functions: tuple[Function, ...]

    # Any: the agent as `switchyard_agents_route` gives it.
    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> RoutedAgent:
        """Raises NotConfigured when the row's price is no price."""
        return cls(
            id=UUID(row["id"]),
            is_published=row["is_published"],
            is_owned=row["is_owned"],
            is_heavy=row["is_heavy"],
            railway_url=row["railway_url"],
            snapshot=AgentSnapshot.from_json(dict(row)),
            functions=read_functions(row["functions"]),
        )


@dataclass(frozen=True, slots=True)
class Look:
    """`available`: whole credits the user may spend. `agent`: None if there is none the user may run."""

    available: int
    agent: RoutedAgent | None


class Looks:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def look(self, user_id: UUID, agent_id: UUID) -> Look:
        """
        Raises:
            NotConfigured: the agent is too large, or its price is none.
            DatabaseUnavailable: nobody knows.
        """
        row = await self._db.call("switchyard_agents_route", user_id=user_id, agent_id=agent_id)
        agent = row["agent"]
        return Look(row["available"], None if agent is None else RoutedAgent.from_json(agent))

    async def take(self, user_id: UUID) -> None:
        """Count one request against the user's plan; a run counts itself.

        Raises:
            RateLimited: the plan allows no more for now.
            DatabaseUnavailable: nobody knows.
        """
        await self._db.call("switchyard_limits_take", user_id=user_id)
