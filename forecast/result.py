"""The forecast as a caller reads it: one JSON document, and the same numbers as CSV.

Numbers are rounded to four digits below the spread of the history: more would only look exact.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, pstdev

from forecast import dates
from forecast.backtest import Backtest
from forecast.engine import Outcome
from forecast.history import History, Quality
from forecast.parts import Parts
from forecast.prediction import Point
from forecast.request import ForecastRequest
from foundation.errors import Json

__all__ = ["ENGINE_VERSION", "as_csv", "as_json"]

ENGINE_VERSION = "1"  # a new one whenever the same input may give other numbers
DIGITS_BELOW_SPREAD = 4

Round = Callable[[float], float]


def as_json(
    request: ForecastRequest, outcome: Outcome, test: Backtest | None, *, cautions: Sequence[str]
) -> dict[str, Json]:
    history, rounded = request.history, _rounding(request.history)
    return {
        "name": request.name,
        "method": outcome.method.value,
        "frequency": history.frequency.value,
        "level": request.level,
        "horizon": request.horizon,
        "points": [_point(point, history, rounded) for point in outcome.points],
        "history": _history(history, rounded),
        "backtest": None if test is None else _backtest(test, history, rounded),
        "components": None if outcome.parts is None else _parts(outcome.parts, rounded),
        "quality": _quality(request.quality),
        "warnings": list(cautions),
        "engineVersion": ENGINE_VERSION,
    }


def as_csv(history: History, points: Sequence[Point]) -> str:
    """A header and a line a date; dates as the caller writes them."""
    rounded = _rounding(history)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("date", "yhat", "lower", "upper"))
    writer.writerows(
        (dates.write(point.day, history.form), *map(rounded, (point.yhat, point.lower, point.upper)))
        for point in points
    )
    return text.getvalue()


def _point(point: Point, history: History, rounded: Round) -> dict[str, Json]:
    return {
        "date": dates.write(point.day, history.form),
        "yhat": rounded(point.yhat),
        "lower": rounded(point.lower),
        "upper": rounded(point.upper),
    }


def _history(history: History, rounded: Round) -> dict[str, Json]:
    return {
        "first": dates.write(history.days[0], history.form),
        "last": dates.write(history.days[-1], history.form),
        "points": len(history),
        "lastValue": history.values[-1],
        "min": min(history.values),
        "max": max(history.values),
        "mean": rounded(fmean(history.values)),
        "std": rounded(pstdev(history.values)),
    }


def _backtest(test: Backtest, history: History, rounded: Round) -> dict[str, Json]:
    return {
        "origin": dates.write(test.origin, history.form),
        "points": test.points,
        "mae": rounded(test.mae),
        "smape": round(test.smape, 3),
        "mase": _ratio(test.mase),
        "coverage": round(test.coverage, 4),
        "baseline": test.baseline.value,
        "baselineMae": rounded(test.baseline_mae),
        "skill": _ratio(test.skill),
    }


def _parts(parts: Parts, rounded: Round) -> dict[str, Json]:
    return {
        "trend": {
            "first": rounded(parts.trend_first),
            "last": rounded(parts.trend_last),
            "end": rounded(parts.trend_end),
        },
        "weekly": _effects(parts.weekly, rounded),
        "yearly": _effects(parts.yearly, rounded),
    }


def _effects(effects: Mapping[str, float] | None, rounded: Round) -> Json:
    return None if effects is None else {name: rounded(effect) for name, effect in effects.items()}


def _quality(quality: Quality) -> dict[str, Json]:
    return {
        "frequencyInferred": quality.frequency_inferred,
        "sorted": quality.sorted_by_us,
        "emptyValues": quality.empty_values,
        "gaps": quality.gaps,
        "zeros": quality.zeros,
        "negatives": quality.negatives,
    }


def _ratio(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _rounding(history: History) -> Round:
    spread = pstdev(history.values)
    if not spread:
        return float
    decimals = max(0, DIGITS_BELOW_SPREAD - 1 - math.floor(math.log10(spread)))
    return lambda number: round(number, decimals) + 0.0  # no "-0.0"
