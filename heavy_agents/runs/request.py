"""What a run was asked to do, as stored with it: a snapshot no later edit changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from foundation.errors import Json
from heavy_agents.credits import Price, parse_price

__all__ = ["AgentSnapshot", "Message", "RunRequest", "Sender"]

DEADLINE_S = 24 * 3600.0
LONGEST_S = 366 * DEADLINE_S
LARGE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; `role` is user, assistant or system."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sender:
    """Another backend that forwards a run; all of its runs together are counted as those of `id`."""

    issuer: str
    id: UUID
    runs_per_minute: int

    def to_json(self) -> dict[str, Json]:
        return {"issuer": self.issuer, "id": str(self.id), "runs_per_minute": self.runs_per_minute}


@dataclass(frozen=True, slots=True)
class AgentSnapshot:
    """An agent's row as it was at submit. `stored` is the whole of it, for what a kind needs beyond this."""

    id: UUID | None
    name: str
    kind: str
    price: Price
    config: dict[str, Json]
    stored: dict[str, Json] = field(repr=False)

    @property
    def is_large(self) -> bool:
        """Whether a kind may need a while to check the row, so that it is not done on the event loop."""
        if any(isinstance(each, dict) for each in self.config.values()):
            return True
        return len(orjson.dumps([self.config, self.stored.get("tools")])) > LARGE_BYTES

    @property
    def has_own_deadline(self) -> bool:
        """Whether the deadline is the agent's own and not the platform's."""
        return "deadline_s" in self.config

    @property
    def deadline_s(self) -> float | None:
        """Seconds a run may take from submit on; None when the agent says `"deadline_s": null`."""
        value = self.config.get("deadline_s", DEADLINE_S)
        return min(float(value), LONGEST_S) if isinstance(value, int | float) and value > 0 else None

    # Any: a row as the database's JSON gives it.
    @classmethod
    def from_json(cls, row: dict[str, Any]) -> AgentSnapshot:
        """Raises NotConfigured when the row's price is no price."""
        return cls(
            id=UUID(row["id"]) if row.get("id") else None,
            name=row["name"],
            kind=row["kind"],
            price=parse_price(row.get("price") or {}),
            config=row.get("config") or {},
            stored=row,
        )

    # Any: the price as the database's JSON gives it; None where the agent has no row.
    @classmethod
    def given(
        cls, agent_id: UUID, agent: dict[str, Json], *, price: Any, sender: Sender | None = None
    ) -> AgentSnapshot:
        """A chat agent without tools, sent along by a service or by `sender`. Raises as `from_json`."""
        added: dict[str, Json] = {"id": str(agent_id), "kind": "chat", "source": "caller"}
        if sender is not None:
            added |= {"source": "backend", "backend": sender.to_json()}
        return cls.from_json({**agent, **added, "price": {} if price is None else price})

    @property
    def railway_url(self) -> str | None:
        """The backend its owner has named for it; a light agent has none, nor has one that was sent along."""
        value = self.stored.get("railway_url")
        return value if isinstance(value, str) and value and self.stored.get("is_heavy") is True else None


@dataclass(frozen=True, slots=True)
class RunRequest:
    messages: tuple[Message, ...]
    input: dict[str, Json]
    agent: AgentSnapshot
    conversation_id: UUID | None = None
