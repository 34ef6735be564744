"""How good the method was on values it had not seen: one hold-out at the end of the history.

One origin is little evidence: it shows when a method is far off, not which of two near ones is nearer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from forecast import baseline, dates, metrics
from forecast.dates import Frequency
from forecast.history import History
from forecast.prediction import Method, Point

__all__ = ["Backtest", "Predict", "held_out", "judge"]

LARGEST_SHARE = 5  # at most a fifth of the history is held out
SHORTEST = {Frequency.DAILY: 8, Frequency.MONTHLY: 12}

Predict = Callable[[History, Sequence[date]], tuple[Point, ...]]


@dataclass(frozen=True, slots=True)
class Backtest:
    origin: date  # the last value the method was shown
    points: int  # values it then had to predict
    mae: float
    smape: float
    mase: float | None  # None: the history shown has no season to scale by
    coverage: float
    baseline: Method
    baseline_mae: float

    @property
    def skill(self) -> float | None:
        """1 is perfect, 0 as good as the baseline, below worse; None when the baseline was perfect."""
        return 1 - self.mae / self.baseline_mae if self.baseline_mae else None


def held_out(history: History, *, horizon: int) -> int:
    """How many values at the end are kept from the method; 0 when too little would be left to show it."""
    points = min(horizon, len(history) // LARGEST_SHARE)
    return points if len(history) - points >= SHORTEST[history.frequency] else 0


def judge(history: History, *, points: int, predict: Predict, level: float) -> Backtest:
    """Show `predict` all but the last `points` values and compare what it says with them.

    Args:
        points: from `held_out`, at least 1.
    """
    known = history.first(len(history) - points)
    days, actual = history.days[-points:], history.values[-points:]
    said = predict(known, days)
    plain = baseline.predict(known, days, level=level)
    yhat = [point.yhat for point in said]
    scale = metrics.seasonal_scale(known.values, season=dates.season(history.frequency))
    return Backtest(
        origin=known.days[-1],
        points=points,
        mae=metrics.mae(actual, yhat),
        smape=metrics.smape(actual, yhat),
        mase=metrics.mase(actual, yhat, scale=scale),
        coverage=metrics.coverage(actual, [point.lower for point in said], [point.upper for point in said]),
        baseline=baseline.choose(known),
        baseline_mae=metrics.mae(actual, [point.yhat for point in plain]),
    )
