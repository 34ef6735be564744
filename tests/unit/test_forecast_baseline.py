from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast import Frequency, Method, backtest, baseline
from forecast.dates import DateForm
from forecast.history import History
from forecast.prediction import Point

VALUES = st.lists(st.floats(-1e12, 1e12), min_size=8, max_size=60)


def daily(values: Sequence[float], first: date = date(2024, 1, 1)) -> History:
    days = tuple(first + timedelta(days=n) for n in range(len(values)))
    return History(days=days, values=tuple(values), frequency=Frequency.DAILY, form=DateForm.DAY)


@given(VALUES, st.floats(0.5, 0.99), st.integers(1, 40))
def test_the_value_lies_inside_its_interval(values: list[float], level: float, steps: int) -> None:
    history = daily(values)

    points = baseline.predict(history, history.following(steps), level=level)

    assert len(points) == steps
    assert all(point.lower <= point.yhat <= point.upper for point in points)


@given(VALUES)
def test_a_higher_level_never_narrows_the_interval(values: list[float]) -> None:
    history = daily(values)
    days = history.following(3)

    narrow, wide = baseline.predict(history, days, level=0.5), baseline.predict(history, days, level=0.95)

    assert all(w.lower <= n.lower and n.upper <= w.upper for n, w in zip(narrow, wide, strict=True))


def test_a_constant_stays_what_it_is() -> None:
    history = daily([5.0] * 20)

    assert baseline.choose(history) is Method.CONSTANT
    day = date(2024, 1, 21)
    assert baseline.predict(history, [day], level=0.95) == (Point(day, 5.0, 5.0, 5.0),)


def test_two_weeks_are_repeated_with_an_interval_that_widens_by_the_week() -> None:
    history = daily([1, 2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6, 7, 8])

    points = baseline.predict(history, history.following(14), level=0.8)

    assert baseline.choose(history) is Method.SEASONAL_NAIVE
    assert [point.yhat for point in points] == [2, 3, 4, 5, 6, 7, 8] * 2
    assert [points[0].upper - points[0].yhat, points[7].upper - points[7].yhat] == pytest.approx([1, 2**0.5])


def test_a_day_missing_last_week_is_taken_from_the_week_before() -> None:
    whole = daily([float(n) for n in range(21)])
    history = History(
        days=whole.days[:15] + whole.days[16:],
        values=whole.values[:15] + whole.values[16:],
        frequency=Frequency.DAILY,
        form=DateForm.DAY,
    )

    points = baseline.predict(history, history.following(2), level=0.8)

    assert [point.yhat for point in points] == [14.0, 8.0]


def test_less_than_two_seasons_give_the_mean() -> None:
    history = daily([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])

    assert baseline.choose(history) is Method.MEAN
    assert baseline.predict(history, history.following(1), level=0.9)[0].yhat == 4.5


@given(st.integers(8, 400), st.integers(1, 730))
def test_at_most_a_fifth_is_held_out_and_enough_is_left(length: int, horizon: int) -> None:
    points = backtest.held_out(daily([0.0] * length), horizon=horizon)

    assert 0 <= points <= min(horizon, length // 5)
    assert length - points >= 8


def test_a_backtest_shows_the_method_nothing_of_what_it_has_to_predict() -> None:
    history = daily([float(n % 7) for n in range(50)])
    shown: list[History] = []

    def predict(known: History, days: Sequence[date]) -> tuple[Point, ...]:
        shown.append(known)
        return tuple(Point(day, 3.0, 0.0, 6.0) for day in days)

    test = backtest.judge(history, points=10, predict=predict, level=0.9)

    assert shown == [history.first(40)]
    assert (test.origin, test.points, test.coverage) == (history.days[39], 10, 1.0)
    assert test.baseline_mae == 0
    assert test.skill is None
    assert test.mae == pytest.approx(sum(abs(history.values[n] - 3) for n in range(40, 50)) / 10)
