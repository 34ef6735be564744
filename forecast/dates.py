"""Which dates a series has, should have, and will have: days or months, and how they are written."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from enum import StrEnum
from itertools import count, islice, pairwise
from statistics import median

__all__ = [
    "DateForm",
    "Frequency",
    "following",
    "infer",
    "missing",
    "month_of",
    "months_between",
    "read",
    "season",
    "season_before",
    "weekdays",
    "write",
]

DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)
FIRST_YEAR, LAST_YEAR = 1800, 2200  # what Prophet's nanosecond timestamps hold, with room to forecast

WIDEST_DAILY_STEP_DAYS = 3  # a working-day series steps 3 days over a weekend
MONTH_STEP_DAYS = (28, 31)
WEEKS_TO_TRUST = 4  # a weekday absent for so long is absent by rule


class Frequency(StrEnum):
    DAILY = "daily"
    MONTHLY = "monthly"


class DateForm(StrEnum):
    """How the caller writes a date, and so how the answer does."""

    DAY = "day"  # 2024-01-31
    MONTH = "month"  # 2024-01
    MONTH_END = "month_end"  # 2024-01-31 for January; a month is kept as its first day inside


def read(text: str) -> tuple[date, DateForm] | None:
    """`2024-01-31` or `2024-01`; None when it is neither, no such day, or outside 1800 to 2200."""
    if DAY.fullmatch(text):
        form, whole = DateForm.DAY, text
    elif MONTH.fullmatch(text):
        form, whole = DateForm.MONTH, f"{text}-01"
    else:
        return None
    try:
        day = date.fromisoformat(whole)
    except ValueError:
        return None
    return (day, form) if FIRST_YEAR <= day.year <= LAST_YEAR else None


def write(day: date, form: DateForm) -> str:
    match form:
        case DateForm.DAY:
            return day.isoformat()
        case DateForm.MONTH:
            return day.isoformat()[:7]
        case DateForm.MONTH_END:
            return day.replace(day=monthrange(day.year, day.month)[1]).isoformat()


def month_of(day: date) -> date:
    """The first day of its month, by which a month is known inside."""
    return day.replace(day=1)


def season(frequency: Frequency) -> int:
    """Steps after which the pattern is expected to repeat: a week of days, a year of months."""
    return 7 if frequency is Frequency.DAILY else 12


def infer(days: Sequence[date]) -> Frequency | None:
    """What the spacing of `days` says; None when it is neither daily nor monthly.

    Args:
        days: at least two, ascending, no two equal.
    """
    step_days = median((after - before).days for before, after in pairwise(days))
    if step_days <= WIDEST_DAILY_STEP_DAYS:
        return Frequency.DAILY
    one_a_month = len({month_of(day) for day in days}) == len(days)
    is_monthly = one_a_month and MONTH_STEP_DAYS[0] <= step_days <= MONTH_STEP_DAYS[1]
    return Frequency.MONTHLY if is_monthly else None


def weekdays(days: Sequence[date]) -> frozenset[int]:
    """The weekdays a daily series has values on, Monday = 0; all seven while the series is short.

    Args:
        days: ascending, at least one.
    """
    seen = frozenset(day.weekday() for day in days)
    is_long = days[-1] - days[0] >= timedelta(weeks=WEEKS_TO_TRUST)
    return seen if is_long else frozenset(range(7))


def following(last: date, *, frequency: Frequency, steps: int, on: Collection[int]) -> tuple[date, ...]:
    """The next `steps` dates after `last`; a daily series only falls on the weekdays `on`."""
    return tuple(islice(_after(last, frequency=frequency, on=on), steps))


def missing(days: Sequence[date], *, frequency: Frequency, on: Collection[int]) -> int:
    """How many dates between the first and the last of `days` have no value.

    Args:
        days: ascending, no two equal; firsts of months when monthly.
    """
    if frequency is Frequency.MONTHLY:
        return months_between(days[0], days[-1]) + 1 - len(days)
    span_days = (days[-1] - days[0]).days + 1
    weeks, rest_days = divmod(span_days, 7)
    first = days[0].weekday()
    expected = weeks * len(on) + sum((first + extra) % 7 in on for extra in range(rest_days))
    return expected - len(days)


def months_between(first: date, last: date) -> int:
    """Steps of a month from the month of `first` to the month of `last`."""
    return _months(last) - _months(first)


def season_before(day: date, frequency: Frequency) -> date:
    """The same weekday a week earlier, or the same month a year earlier."""
    return day - timedelta(days=7) if frequency is Frequency.DAILY else day.replace(year=day.year - 1)


def _after(last: date, *, frequency: Frequency, on: Collection[int]) -> Iterator[date]:
    if frequency is Frequency.MONTHLY:
        return (_add_months(last, months) for months in count(1))
    days = (last + timedelta(days=days) for days in count(1))
    return (day for day in days if day.weekday() in on)


def _months(day: date) -> int:
    return day.year * 12 + day.month - 1


def _add_months(day: date, months: int) -> date:
    year, month = divmod(_months(day) + months, 12)
    return date(year, month + 1, 1)
