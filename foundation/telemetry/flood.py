"""That the same thing said a thousand times is told once, and how often it was said meanwhile.

Pure: the caller brings the time. Safe in threads, as far as one count too many or too few does no harm.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

__all__ = ["Flood"]

QUIET_S = 60.0
MAX_KNOWN = 1000


@dataclass(slots=True)
class _Known:
    told_s: float
    unsent: int


class Flood:
    """Remembers the newest `MAX_KNOWN` things that were told."""

    def __init__(self, quiet_s: float = QUIET_S) -> None:
        self._quiet_s = quiet_s
        self._known: dict[Hashable, _Known] = {}

    def unsent(self, thing: Hashable, now_s: float) -> int | None:
        """How often it was kept back since it was told; None when it is kept back again."""
        known = self._known.get(thing)
        if known is not None and now_s - known.told_s < self._quiet_s:
            known.unsent += 1
            return None
        self._known.pop(thing, None)
        self._known[thing] = _Known(now_s, 0)
        if len(self._known) > MAX_KNOWN:
            self._known.pop(next(iter(self._known)), None)
        return 0 if known is None else known.unsent
