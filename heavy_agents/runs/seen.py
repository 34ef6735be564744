"""Agents as this process saw them last, so that most runs are accepted without asking for theirs first.

Never believed: the statement that accepts a run compares what was seen with the row, and what is refused on
the strength of it is refused again on the strength of the row.
"""

from __future__ import annotations

from uuid import UUID

import orjson

from heavy_agents.runs.request import AgentSnapshot

__all__ = ["SeenAgents"]

MOST = 256
# Most are a few kilobytes, but a row may hold any text. A larger one is asked for each time.
MOST_BYTES = 64 * 1024


class SeenAgents:
    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._seen: dict[UUID, AgentSnapshot] = {}

    def get(self, agent_id: UUID) -> AgentSnapshot | None:
        return self._seen.get(agent_id)

    def keep(self, agent_id: UUID, agent: AgentSnapshot) -> None:
        """In place of what was seen before, or of the agent first seen longest ago. Not a large one."""
        if len(orjson.dumps(agent.stored)) > MOST_BYTES:
            self.forget(agent_id)
            return
        if agent_id not in self._seen and len(self._seen) >= self._most:
            # A dict keeps its order: the first is the oldest.
            del self._seen[next(iter(self._seen))]
        self._seen[agent_id] = agent

    def forget(self, agent_id: UUID) -> None:
        self._seen.pop(agent_id, None)
