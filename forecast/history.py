"""What is known of a series: its values in order, and how good they are as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from forecast import dates
from forecast.dates import DateForm, Frequency

__all__ = ["History", "Quality"]


@dataclass(frozen=True, slots=True)
class History:
    """Values by date, ascending, none missing inside: a date without a value is simply not there."""

    days: tuple[date, ...]  # firsts of months when monthly
    values: tuple[float, ...]  # finite, as many as `days`
    frequency: Frequency
    form: DateForm

    def __len__(self) -> int:
        return len(self.days)

    @property
    def is_constant(self) -> bool:
        return min(self.values) == max(self.values)

    @property
    def weekdays(self) -> frozenset[int]:
        return dates.weekdays(self.days)

    def following(self, steps: int) -> tuple[date, ...]:
        return dates.following(self.days[-1], frequency=self.frequency, steps=steps, on=self.weekdays)

    def first(self, points: int) -> History:
        """The same series as it was known when it had only `points` values."""
        return replace(self, days=self.days[:points], values=self.values[:points])


@dataclass(frozen=True, slots=True)
class Quality:
    """What a reader should know about the data before trusting a forecast of it."""

    frequency_inferred: bool
    sorted_by_us: bool
    empty_values: int  # dates sent with null
    trailing_empty: int  # of these, after the last value
    gaps: int  # dates between the first and the last that have no value, null ones included
    zeros: int
    negatives: int
