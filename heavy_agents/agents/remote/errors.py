"""What can go wrong between backends, inside this room.

Away      it may fare better later: asked again, for as long as there is patience
Refused   it will not: the run ends as the cause says
"""

from __future__ import annotations

from foundation.errors import HeavyError
from heavy_agents.runs import AgentFailed

__all__ = ["Away", "Refused"]


class Away(Exception):
    """
    Attributes:
        why: a word for the log.
        retry_after_s: what the other asks for; 0 if nothing.
        is_left_alone: it was not asked at all, because it has failed before.
        is_busy: it answers, but takes no more for now.
    """

    def __init__(
        self, why: str, *, retry_after_s: float = 0, is_left_alone: bool = False, is_busy: bool = False
    ) -> None:
        super().__init__(why)
        self.why = why
        self.retry_after_s = retry_after_s
        self.is_left_alone = is_left_alone
        self.is_busy = is_busy


class Refused(Exception):
    """`cause` is what our run ends with; `why` a word for the log."""

    def __init__(self, why: str, cause: HeavyError | AgentFailed) -> None:
        super().__init__(why)
        self.why = why
        self.cause = cause
