"""What a run costs in whole credits, from its agent's price and what it used.

Every part rounds up on its own, so that a price never charges less than one credit for something it counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import Json, NotConfigured
from heavy_agents.credits.usage import Usage

__all__ = ["Price", "cost", "parse_price"]

MAX_CREDITS = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """Whole credits. `ceiling` is what is held at submit and the most a run is charged."""

    flat: int = 1
    per_1k_tokens: int = 0
    per_minute: int = 0
    ceiling: int = 1


def parse_price(stored: Json) -> Price:
    """The price on an agent's row; an absent ceiling is the flat price.

    Raises:
        NotConfigured: a part is unknown, or not a whole number from 0 to 1,000,000; the ceiling is below the
            flat price, or leaves nothing for what is counted beside it.
    """
    parts: dict[str, Json] = stored if isinstance(stored, dict) else {"": stored}
    unknown = sorted(parts.keys() - {"flat", "per_1k_tokens", "per_minute", "ceiling"})
    if unknown:
        raise NotConfigured(
            f"the agent's price has an unknown part {unknown[0]!r}; its operator must mend it"
        )
    flat = _credits(parts, "flat", 1)
    price = Price(
        flat=flat,
        per_1k_tokens=_credits(parts, "per_1k_tokens", 0),
        per_minute=_credits(parts, "per_minute", 0),
        ceiling=_credits(parts, "ceiling", flat),
    )
    is_counted = bool(price.per_1k_tokens or price.per_minute)
    if price.ceiling < flat + is_counted:
        wants = f"{'more than' if is_counted else 'at least'} its flat price of {flat}"
        raise NotConfigured(
            f"the agent's price has ceiling = {price.ceiling}, wants {wants}; its operator must mend it"
        )
    return price


def cost(price: Price, usage: Usage, *, elapsed_ms: int) -> int:
    """Credits for `usage` over `elapsed_ms` of execution, not yet bounded by the ceiling."""
    for_tokens = _share(price.per_1k_tokens, usage.tokens, 1_000)
    return price.flat + for_tokens + _share(price.per_minute, elapsed_ms, 60_000)


def _share(credits_each: int, amount: int, unit: int) -> int:
    return -(-credits_each * amount // unit)


def _credits(parts: dict[str, Json], name: str, default: int) -> int:
    value = parts.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_CREDITS:
        raise NotConfigured(
            f"the agent's price has {name} = {value!r}, wants a whole number of credits;"
            " its operator must mend it"
        )
    return value
