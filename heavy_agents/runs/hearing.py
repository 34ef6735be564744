"""What a process does when another one tells it something: see `foundation.hints`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from foundation.hints import Rows
from heavy_agents.events import Hub

if TYPE_CHECKING:
    from heavy_agents.runs.engine import Engine

__all__ = ["Hearing"]


class Hearing:
    """A `Listener`: work and cancels are the engine's business, events the hub's."""

    def __init__(self, engine: Engine, hub: Hub) -> None:
        self._engine = engine
        self._hub = hub

    @property
    def kinds(self) -> Sequence[str]:
        return self._engine.kinds

    @property
    def free(self) -> int:
        return self._engine.free

    def work(self) -> None:
        self._engine.wake()

    def cancel(self, run_id: UUID) -> None:
        self._engine.cancel_here(run_id)

    def news(self, run_id: UUID, rows: Rows | None) -> None:
        self._hub.news(run_id, rows)

    def missed(self) -> None:
        self._engine.wake()
        self._hub.look_at_all()
