"""From dated values in any order to a history: duplicates refused, order restored, the frequency told."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from forecast import dates
from forecast.dates import DateForm, Frequency
from forecast.history import History, Quality
from forecast.mistakes import BadInput, Mistake, refuse

__all__ = ["SentPoint", "arrange"]

LARGEST = 1e15  # beyond it a float no longer holds whole units
FEWEST = {Frequency.DAILY: 8, Frequency.MONTHLY: 12}


@dataclass(frozen=True, slots=True)
class SentDate:
    day: date
    form: DateForm


def _read_date(value: object) -> SentDate:
    read = dates.read(value) if isinstance(value, str) else None
    if read is None:
        raise ValueError
    return SentDate(*read)


class SentPoint(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    date: Annotated[SentDate, PlainValidator(_read_date)] = Field(
        description="a day from 1800 to 2200 as YYYY-MM-DD, or a month as YYYY-MM"
    )
    value: float | None = Field(
        ge=-LARGEST,
        le=LARGEST,
        allow_inf_nan=False,
        description="a number from -1e15 to 1e15, or null for no value",
    )


def arrange(sent: Sequence[SentPoint], *, asked: Frequency | None) -> tuple[History, Quality]:
    """The history in `sent`, in order of its dates.

    Args:
        asked: the frequency the caller named; None to tell it from the dates.

    Raises:
        BadInput: dates twice or written in two ways, no frequency to be told, too few values.
    """
    refuse(_written_otherwise(sent))
    refuse(_twice([point.date.day for point in sent], "day"))
    frequency = _frequency(sent, asked)
    if frequency is Frequency.MONTHLY:
        refuse(_twice([dates.month_of(point.date.day) for point in sent], "month"))
    known = sorted((point.date.day, point.value) for point in sent if point.value is not None)
    refuse(_too_few(len(known), frequency))
    history = _history(known, frequency, _form(sent, frequency))
    return history, _quality(sent, history, asked=asked)


def _written_otherwise(sent: Sequence[SentPoint]) -> Iterator[Mistake]:
    for index, point in enumerate(sent):
        if point.date.form is not sent[0].date.form:
            message = "is written unlike series[0].date; write all dates as days or all as months"
            yield Mistake(f"series[{index}].date", message)


def _twice(days: Sequence[date], unit: str) -> Iterator[Mistake]:
    first_at: dict[date, int] = {}
    for index, day in enumerate(days):
        if (first := first_at.setdefault(day, index)) != index:
            message = f"is the same {unit} as series[{first}].date; send one value a {unit}"
            yield Mistake(f"series[{index}].date", message)


def _frequency(sent: Sequence[SentPoint], asked: Frequency | None) -> Frequency:
    has_months = bool(sent) and sent[0].date.form is DateForm.MONTH
    if has_months and asked is Frequency.DAILY:
        raise BadInput([Mistake("frequency", 'got "daily" for dates that are months; wants "monthly"')])
    if asked is not None:
        return asked
    if has_months:
        return Frequency.MONTHLY
    if len(sent) < FEWEST[Frequency.DAILY]:
        return Frequency.DAILY  # too short to tell, and refused for that next
    told = dates.infer(sorted(point.date.day for point in sent))
    if told is None:
        raise BadInput([Mistake("frequency", 'cannot be told from the dates; wants "daily" or "monthly"')])
    return told


def _too_few(values: int, frequency: Frequency) -> Iterator[Mistake]:
    fewest = FEWEST[frequency]
    if values < fewest:
        message = f"has {values} values, a {frequency} series needs at least {fewest}; send more history"
        yield Mistake("series", message)


def _form(sent: Sequence[SentPoint], frequency: Frequency) -> DateForm:
    days = [point.date.day for point in sent]
    if frequency is Frequency.MONTHLY and all(day.day == monthrange(day.year, day.month)[1] for day in days):
        return DateForm.MONTH_END
    return sent[0].date.form


def _history(known: Sequence[tuple[date, float]], frequency: Frequency, form: DateForm) -> History:
    days = (day for day, _ in known)
    return History(
        days=tuple(map(dates.month_of, days) if frequency is Frequency.MONTHLY else days),
        values=tuple(value for _, value in known),
        frequency=frequency,
        form=form,
    )


def _quality(sent: Sequence[SentPoint], history: History, *, asked: Frequency | None) -> Quality:
    days = [point.date.day for point in sent]
    last = max(point.date.day for point in sent if point.value is not None)
    return Quality(
        frequency_inferred=asked is None,
        sorted_by_us=days != sorted(days),
        empty_values=len(sent) - len(history),
        trailing_empty=sum(day > last for day in days),
        gaps=dates.missing(history.days, frequency=history.frequency, on=history.weekdays),
        zeros=sum(value == 0 for value in history.values),
        negatives=sum(value < 0 for value in history.values),
    )
