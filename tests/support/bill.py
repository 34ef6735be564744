"""What is wrong with the bill of a run: its receipt against its price and its journal."""

from __future__ import annotations

from typing import Any

from foundation.errors import Json
from heavy_agents.credits import Usage, cost, parse_price

__all__ = ["billed_wrongly", "journaled"]

# Any: a document of the wire.
Receipt = dict[str, Any]


def journaled(receipt: Receipt) -> Usage:
    """What the finished steps have used together."""
    return sum((Usage.from_json(step["usage"]) for step in receipt["steps"]), Usage())


def billed_wrongly(receipt: Receipt, *, price: Json) -> list[str]:
    """Of a run that succeeded: one hold, one charge, and that what the journal says was bought."""
    entries = [entry["kind"] for entry in receipt["entries"]]
    charged, due = receipt["charged"], cost(parse_price(price), journaled(receipt), elapsed_ms=0)
    settled = sum(entry["credits"] for entry in receipt["entries"])
    wrong: list[str] = []
    if entries != ["hold", "settle"]:
        wrong.append(f"the receipt has the entries {entries}")
    if (charged, settled) != (due, due):
        wrong.append(f"charged {charged}, in the ledger {settled}, for a journal of {due}")
    return wrong
