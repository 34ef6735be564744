"""What is answered without a model: the same day last week, the same month last year, or the mean.

Also what a model has to beat. The interval comes from the method's own errors inside the history: the
conformal rank of their sizes (the largest, when there are few), widened with the seasons ahead as a
random walk's would be.

Sources: Hyndman & Athanasopoulos, Forecasting: Principles and Practice (3rd ed.), 5.2 and 5.5;
Shafer & Vovk, J. of Machine Learning Research 9 (2008), 371-421 (the rank).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from math import ceil, sqrt
from statistics import fmean

from forecast import dates
from forecast.dates import Frequency
from forecast.history import History
from forecast.prediction import Method, Point

__all__ = ["choose", "has_two_seasons", "predict"]


def has_two_seasons(history: History) -> bool:
    """Whether the pattern can have shown itself twice: two weeks of days, two years of months."""
    first, last = history.days[0], history.days[-1]
    season = dates.season(history.frequency)
    if history.frequency is Frequency.DAILY:
        return last - first >= timedelta(days=2 * season - 1)
    return dates.months_between(first, last) >= 2 * season - 1


def choose(history: History) -> Method:
    """The simplest method that does `history` justice."""
    if history.is_constant:
        return Method.CONSTANT
    return Method.SEASONAL_NAIVE if has_two_seasons(history) else Method.MEAN


def predict(history: History, days: Sequence[date], *, level: float) -> tuple[Point, ...]:
    """A value and an interval for each of `days`, all after the history, by the method `choose` names."""
    match choose(history):
        case Method.CONSTANT:
            value = history.values[0]
            return tuple(Point(day, value, value, value) for day in days)
        case Method.SEASONAL_NAIVE:
            return _repeat(history, days, level)
        case _:
            return _average(history, days, level)


def _average(history: History, days: Sequence[date], level: float) -> tuple[Point, ...]:
    mean = fmean(history.values)
    half = _rank([abs(value - mean) for value in history.values], level) * sqrt(1 + 1 / len(history))
    return tuple(Point(day, mean, mean - half, mean + half) for day in days)


def _repeat(history: History, days: Sequence[date], level: float) -> tuple[Point, ...]:
    known = dict(zip(history.days, history.values, strict=True))
    mean = fmean(history.values)
    half = _rank(list(_seasonal_changes(history, known)) or [abs(v - mean) for v in history.values], level)
    points = []
    for day in days:
        value, seasons = _last_known(history, known, day) or (mean, 1)
        reach = half * sqrt(seasons)
        points.append(Point(day, value, value - reach, value + reach))
    return tuple(points)


def _last_known(history: History, known: Mapping[date, float], day: date) -> tuple[float, int] | None:
    """The newest value a whole number of seasons before `day`, and how many; None when none was ever seen."""
    seasons = 0
    while day > history.days[0]:
        day = dates.season_before(day, history.frequency)
        seasons += 1
        if day in known:
            return known[day], seasons
    return None


def _seasonal_changes(history: History, known: Mapping[date, float]) -> Iterator[float]:
    for day, value in known.items():
        before = known.get(dates.season_before(day, history.frequency))
        if before is not None:
            yield abs(value - before)


def _rank(errors: Sequence[float], level: float) -> float:
    """The error size that a share `level` of new ones should stay below."""
    place = min(ceil((len(errors) + 1) * level), len(errors))
    return sorted(errors)[place - 1]
