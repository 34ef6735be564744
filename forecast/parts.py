"""What a fitted model says about the series: where the trend goes, and what each weekday and month adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import fmean

from forecast.dates import Frequency
from forecast.history import History
from forecast.prophet_model import Fitted

__all__ = ["Parts", "describe"]

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True)
class Parts:
    """In the unit of the series; weekly and yearly are what is added to the trend."""

    trend_first: float  # at the first value
    trend_last: float  # at the last value
    trend_end: float  # at the end of the forecast
    weekly: Mapping[str, float] | None  # by weekday, of those the series has
    yearly: Mapping[str, float] | None  # by month, the mean of its days


def describe(fitted: Fitted, history: History, end: date) -> Parts:
    """The parts of `fitted`, read off the week and the year around the end of `history`."""
    first, last = history.days[0], history.days[-1]
    week = [last + timedelta(days=n) for n in range(7)]
    year = _year(last, history.frequency)
    parts = fitted.parts([first, last, end, *week, *year])
    trend, weekly, yearly = parts["trend"], parts.get("weekly"), parts.get("yearly")
    return Parts(
        trend_first=trend[first],
        trend_last=trend[last],
        trend_end=trend[end],
        weekly=None if weekly is None else _by_weekday({day: weekly[day] for day in week}, history.weekdays),
        yearly=None if yearly is None else _by_month({day: yearly[day] for day in year}),
    )


def _year(last: date, frequency: Frequency) -> list[date]:
    if frequency is Frequency.MONTHLY:
        return [date(last.year, month, 1) for month in range(1, 13)]
    return [date(last.year, 1, 1) + timedelta(days=n) for n in range(365)]


def _by_weekday(effects: Mapping[date, float], seen: frozenset[int]) -> dict[str, float]:
    by_day = {day.weekday(): effect for day, effect in effects.items()}
    return {WEEKDAYS[day]: by_day[day] for day in sorted(seen)}


def _by_month(effects: Mapping[date, float]) -> dict[str, float]:
    by_month: dict[int, list[float]] = {}
    for day, effect in effects.items():
        by_month.setdefault(day.month, []).append(effect)
    return {MONTHS[month - 1]: fmean(by_month[month]) for month in sorted(by_month)}
