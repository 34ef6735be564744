"""Whether a quantity that was looked at again and again grows: the slope of its second half.

Pure. The first half is left out, in which a server loads what it needs and its tables of recent things fill.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["TEN_MINUTES_S", "Slope", "slope_of"]

TEN_MINUTES_S = 600.0


@dataclass(frozen=True, slots=True)
class Slope:
    """In the quantity's unit: its medians in the third and the last quarter, and its gain in ten minutes."""

    third: float
    last: float
    gained: float

    def is_flat(self, bound: float) -> bool:
        """Whether it gains no more than `bound` in ten minutes. A quantity that falls is flat."""
        return self.gained <= bound


def slope_of(seen: Sequence[tuple[float, float]]) -> Slope:
    """The line of least squares through the second half of (second, quantity) pairs, oldest first.

    Raises:
        ValueError: fewer than eight looks say nothing.
    """
    if len(seen) < 8:
        raise ValueError(f"{len(seen)} looks are too few")
    half = seen[len(seen) // 2 :]
    middle = len(half) // 2
    times_s, values = zip(*half, strict=True)
    line = statistics.linear_regression(times_s, values)
    return Slope(
        third=statistics.median(values[:middle]),
        last=statistics.median(values[middle:]),
        gained=line.slope * TEN_MINUTES_S,
    )
