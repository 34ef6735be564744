"""How long to wait before a lost server is asked again, and when to stop asking.

Pure: the time and the dice come in as arguments. Pauses double up to a limit and are drawn at random below
it, so that everybody whom one restart has cut off does not come back in the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FIRST_CONTACT_S", "GIVE_UP_S", "Patience"]

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
# A server that was never there is not waited for: nobody has started it.
FIRST_CONTACT_S: Final = 3.0
# A new release, a restored database, a laptop that slept.
GIVE_UP_S: Final = 300.0


@dataclass(slots=True)
class Patience:
    """`since_s` is when things were last well, `failures` how often they were not since."""

    limit_s: float
    since_s: float
    failures: int = 0

    def well(self, now_s: float) -> None:
        self.since_s, self.failures = now_s, 0

    def pause_s(self, now_s: float, *, retry_after_s: float, roll: float) -> float | None:
        """Seconds until the next try; None when it would come too late.

        Args:
            retry_after_s: what the server asked for; 0 when it did not.
            roll: from 0 to 1, at random.
        """
        self.failures += 1
        grown_s = min(FIRST_PAUSE_S * 2.0 ** min(self.failures - 1, 10), LONGEST_PAUSE_S)
        pause_s = retry_after_s + grown_s * (1 + roll) / 2
        return pause_s if now_s + pause_s <= self.since_s + self.limit_s else None
