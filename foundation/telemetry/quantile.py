"""What a histogram says about quantiles.

Pure. Within a bucket values are taken to be spread evenly, as `histogram_quantile` of Prometheus does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["quantile"]


def quantile(q: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """The value that a share `q` of all observations does not exceed; None without observations.

    Args:
        q: from 0 to 1.
        buckets: (upper bound, observations up to it), both rising; the last bound is infinite. A value beyond
            the last finite bound is reported as that bound: more is not known.
    """
    total = buckets[-1][1] if buckets else 0
    if total <= 0:
        return None
    rank = q * total
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if math.isinf(bound):
            break
        if count >= rank and count > below:
            return low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low
