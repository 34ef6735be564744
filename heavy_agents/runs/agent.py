"""What an agent is: a kind, a check of its input before anything is held, and an async function."""

from __future__ import annotations

from typing import Protocol

from heavy_agents.runs.answer import Answer
from heavy_agents.runs.context import Context
from heavy_agents.runs.request import RunRequest

__all__ = ["Agent"]


class Agent(Protocol):
    @property
    def kind(self) -> str: ...

    def check(self, request: RunRequest) -> None:
        """Refuse an input that cannot work, before anything is held or stored. Pure; may run in a thread.

        Raises:
            InvalidBody: with every mistake; fields are paths like `input.series[3].value`.
        """
        ...

    async def run(self, ctx: Context) -> Answer:
        """Do the work. May be called again after a crash: what must not happen twice is a step."""
        ...
