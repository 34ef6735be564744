"""How far a forecast was from what happened. Pure arithmetic on equally long sequences.

Sources: Hyndman & Koehler, Int. J. of Forecasting 22 (2006), 679-688 (MASE and the seasonal scale);
Makridakis & Hibon, Int. J. of Forecasting 16 (2000), 451-476 (sMAPE as in the M3 competition).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

__all__ = ["coverage", "mae", "mase", "seasonal_scale", "smape"]


def mae(actual: Sequence[float], predicted: Sequence[float]) -> float:
    """Mean absolute error, in the unit of the series; at least one value.

    Raises:
        ValueError: the lengths differ.
    """
    return fmean(abs(a - p) for a, p in zip(actual, predicted, strict=True))


def smape(actual: Sequence[float], predicted: Sequence[float]) -> float:
    """Symmetric mean absolute percentage error, 0 to 200; a pair of zeros counts as no error.

    Raises:
        ValueError: the lengths differ.
    """
    return fmean(_percent(a, p) for a, p in zip(actual, predicted, strict=True))


def mase(actual: Sequence[float], predicted: Sequence[float], *, scale: float | None) -> float | None:
    """Mean absolute scaled error; 1.0 means "as far off as the seasonal naive method was inside the history".

    Args:
        scale: from `seasonal_scale`. Without one there is no answer.
    """
    return None if scale is None else mae(actual, predicted) / scale


def seasonal_scale(history: Sequence[float], *, season: int) -> float | None:
    """Mean absolute change over one season; None without any change, or when the history is too short."""
    if len(history) <= season:
        return None
    return mae(history[season:], history[:-season]) or None


def coverage(actual: Sequence[float], lower: Sequence[float], upper: Sequence[float]) -> float:
    """Share of values inside their interval, bounds included."""
    return fmean(low <= a <= high for a, low, high in zip(actual, lower, upper, strict=True))


def _percent(actual: float, predicted: float) -> float:
    size = abs(actual) + abs(predicted)
    return 200 * abs(actual - predicted) / size if size else 0.0
