"""How much of its hold a run is charged, by how it ended.

succeeded              the price of what was used, at most the hold
the hold is reached    what was used, at most the hold; nothing before the first call
the user's doing       the same: cancelled, bad input, the agent's own error or deadline
the platform's doing   nothing: model, database, poison, deadline of the platform
"""

from __future__ import annotations

from enum import StrEnum

from heavy_agents.credits.price import Price, cost
from heavy_agents.credits.usage import Usage

__all__ = ["Blame", "charge"]


class Blame(StrEnum):
    """Whose doing it was that the run ended."""

    NOBODY = "nobody"
    BUDGET = "budget"
    USER = "user"
    PLATFORM = "platform"


def charge(blame: Blame, price: Price, usage: Usage, *, elapsed_ms: int) -> int:
    """Whole credits to settle, 0 to `price.ceiling`."""
    used = min(cost(price, usage, elapsed_ms=elapsed_ms), price.ceiling)
    match blame:
        case Blame.NOBODY:
            return used
        case Blame.BUDGET | Blame.USER:
            return used if usage.calls else 0
        case Blame.PLATFORM:
            return 0
