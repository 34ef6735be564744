"""What a tool is: a name, a description, a schema, and a call that answers or says why not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from foundation.errors import Json
from heavy_agents.credits import Usage

__all__ = ["BadArguments", "Call", "Remember", "Tool", "ToolFailed"]

# Does the work once per run and returns the recorded result afterwards: a journaled step.
Remember = Callable[[str, Callable[[], Awaitable[Json]]], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class Call:
    """What one call gets beside its arguments.

    `key` is an idempotency key for something outside: the same at every try of this run. `used` is asked what
    the run has used so far, by this call and all others, earlier claims included.
    """

    key: str
    spend: Callable[[Usage], None]
    used: Callable[[], Usage] = Usage


class BadArguments(Exception):
    """The model's mistake: `message` goes back to it, names each wrong argument and what would be right."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ToolFailed(Exception):
    """The call came to nothing: `message` goes back to the model and the person sees it, so it is safe."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Tool(Protocol):
    @property
    def name(self) -> str:
        """Matches ^[a-zA-Z0-9_-]{1,64}$."""
        ...

    @property
    def description(self) -> str: ...

    @property
    def parameters(self) -> dict[str, Json]:
        """The JSON Schema (2020-12) of the object of arguments."""
        ...

    async def call(self, arguments: dict[str, Json], call: Call) -> Json:
        """The result.

        Raises:
            BadArguments, ToolFailed: with what the model is told.
        """
        ...
