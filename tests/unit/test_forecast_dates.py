from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast import Frequency, dates
from forecast.dates import DateForm

EVERY_DAY = range(7)
DAYS = st.dates(min_value=date(1800, 1, 1), max_value=date(2200, 12, 31))
WEEKDAYS = st.frozensets(st.integers(0, 6), min_size=1)


@given(DAYS, WEEKDAYS, st.integers(1, 60))
def test_the_following_days_fall_on_the_weekdays_of_the_series_and_leave_none_out(
    last: date, on: frozenset[int], steps: int
) -> None:
    days = dates.following(last, frequency=Frequency.DAILY, steps=steps, on=on)

    between = (last + timedelta(days=n) for n in range(1, (days[-1] - last).days + 1))
    assert list(days) == [day for day in between if day.weekday() in on]
    assert len(days) == steps


@given(DAYS, st.integers(1, 120))
def test_the_following_months_are_first_days_without_a_month_left_out(last: date, steps: int) -> None:
    months = dates.following(last.replace(day=1), frequency=Frequency.MONTHLY, steps=steps, on=EVERY_DAY)

    assert all(month.day == 1 for month in months)
    assert [dates.months_between(last, month) for month in months] == list(range(1, steps + 1))


@given(DAYS, WEEKDAYS, st.integers(2, 90), st.data())
def test_missing_counts_the_dates_that_were_taken_out(
    first: date, on: frozenset[int], length: int, data: st.DataObject
) -> None:
    whole = dates.following(first, frequency=Frequency.DAILY, steps=length, on=on)
    kept = data.draw(st.sets(st.sampled_from(whole[1:-1]))) if length > 2 else set()
    days = sorted({whole[0], whole[-1], *kept})

    assert dates.missing(days, frequency=Frequency.DAILY, on=on) == length - len(days)


def test_missing_months_are_counted() -> None:
    months = [date(2023, 11, 1), date(2023, 12, 1), date(2024, 3, 1)]

    assert dates.missing(months, frequency=Frequency.MONTHLY, on=EVERY_DAY) == 2


@pytest.mark.parametrize(
    ("days", "frequency"),
    [
        ([date(2024, 1, 1) + timedelta(days=n) for n in range(10)], Frequency.DAILY),
        ([date(2024, 1, n) for n in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12)], Frequency.DAILY),
        ([date(2024, month, 1) for month in range(1, 13)], Frequency.MONTHLY),
        ([date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31), date(2024, 4, 30)], Frequency.MONTHLY),
        ([date(2024, month, 1) for month in (1, 2, 3, 4, 5, 9, 10, 11, 12)], Frequency.MONTHLY),
        ([date(2024, 1, 1) + timedelta(weeks=n) for n in range(10)], None),
        ([date(year, 1, 1) for year in range(2000, 2010)], None),
    ],
)
def test_the_frequency_is_told_from_the_dates(days: list[date], frequency: Frequency | None) -> None:
    assert dates.infer(days) is frequency


@pytest.mark.parametrize(
    "text", ["2024-02-30", "20240131", "2024-W01-1", "2024-1-1", "2024-13", "1799-12-31", "٢٠٢٤-٠١-٠١", ""]
)
def test_what_is_no_day_and_no_month_is_not_read(text: str) -> None:
    assert dates.read(text) is None


@given(DAYS)
def test_a_day_is_written_as_it_was_read(day: date) -> None:
    assert dates.read(dates.write(day, DateForm.DAY)) == (day, DateForm.DAY)
    assert dates.read(dates.write(day, DateForm.MONTH)) == (day.replace(day=1), DateForm.MONTH)


def test_a_month_end_is_written_as_its_last_day() -> None:
    february = date(2024, 2, 1)

    assert dates.write(february, DateForm.MONTH_END) == "2024-02-29"


def test_a_season_before_the_first_of_march_is_the_first_of_march() -> None:
    assert dates.season_before(date(2024, 3, 1), Frequency.MONTHLY) == date(2023, 3, 1)
    assert dates.season_before(date(2024, 3, 4), Frequency.DAILY) == date(2024, 2, 26)


def test_following_dates_never_repeat() -> None:
    days = dates.following(date(2024, 1, 31), frequency=Frequency.DAILY, steps=400, on=(0,))

    assert {(after - before).days for before, after in pairwise(days)} == {7}
