"""What can go wrong with one call, and whose fault it is.

ModelUnavailable (foundation.errors)   the provider's, or the server's settings': nobody is charged
AgentMistake                           the agent's or the conversation's: asking again changes nothing
Broken                                 inside this room: an answer that began well and is none
"""

from __future__ import annotations

__all__ = ["AgentMistake", "Broken"]


class AgentMistake(Exception):
    """The model cannot be asked like this; `message` says why to the person who asked."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Broken(Exception):
    """A 200 whose stream is cut, silent or nonsense; `why` is our own word for it, never the provider's."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
