"""How a span is named to somebody else: the `traceparent` of W3C Trace Context.

Pure. `tracestate` is not taken: nothing here would read it, and it may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Traceparent", "accepted", "read_traceparent"]

# A later version may add members; those of the first stay where they are.
WRITTEN: Final = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.{0,400})?")
FIRST_VERSION: Final = "00"


@dataclass(frozen=True, slots=True)
class Traceparent:
    """`str()` writes it."""

    trace_id: int
    span_id: int
    is_sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{'01' if self.is_sampled else '00'}"


def read_traceparent(text: str) -> Traceparent | None:
    """None for anything that is none.

    Source: W3C Trace Context, section 3.2.
    """
    found = WRITTEN.fullmatch(text.strip())
    if found is None or (found[1] == FIRST_VERSION and found[5] is not None):
        return None
    trace_id, span_id = int(found[2], 16), int(found[3], 16)
    return Traceparent(trace_id, span_id, bool(int(found[4], 16) & 1)) if trace_id and span_id else None


def accepted(given: Sequence[str], *, is_trusted: bool, is_drawn: bool) -> Traceparent | None:
    """The span a caller's request belongs to, recorded if we say so.

    A caller may always keep a request out of the traces. That it is recorded is believed of the service
    alone: of anybody else it is drawn like a request without a trace, so that no header can buy spans.

    Args:
        given: every `traceparent` header; two of them are none.
        is_drawn: whether this request would be recorded if it came without.
    """
    parent = read_traceparent(given[0]) if len(given) == 1 else None
    if parent is None or not parent.is_sampled or is_trusted or is_drawn:
        return parent
    return Traceparent(parent.trace_id, parent.span_id, is_sampled=False)
