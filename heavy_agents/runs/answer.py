"""What an agent comes to, and the two ways in which it may say that it cannot go on."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import Json

__all__ = ["AgentFailed", "Answer", "CreditExhausted"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Text for the person, and a structured result; together at most 1 MB."""

    response: str
    output: Json = None


class AgentFailed(Exception):
    """The agent cannot do what it was asked, and the text says why to the person who asked."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CreditExhausted(Exception):
    """What the run has used reaches what was held for it."""
