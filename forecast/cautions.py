"""What a reader must be told before relying on a forecast: sentences, decided from the data and the test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from forecast.backtest import Backtest
from forecast.baseline import has_two_seasons
from forecast.dates import Frequency, write
from forecast.prediction import METHOD_NAMES, Point
from forecast.request import ForecastRequest

__all__ = ["about_data", "about_points", "about_test"]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MANY_GAPS = 0.1
CLEARLY = 0.05  # of skill; a smaller difference says nothing at a single origin
FEW_TESTED = 5
SHORTFALL = 0.1  # of coverage, beyond which the interval is called too narrow


def about_data(request: ForecastRequest) -> Iterator[str]:
    history, quality = request.history, request.quality
    if quality.sorted_by_us:
        yield "The dates were not in order; they were sorted."
    if quality.trailing_empty:
        last = write(history.days[-1], history.form)
        yield f"The last {quality.trailing_empty} dates have no value; the forecast starts after {last}."
    if history.frequency is Frequency.DAILY and (absent := frozenset(range(7)) - history.weekdays):
        names = ", ".join(WEEKDAYS[day] for day in sorted(absent))
        yield f"The history has no value on any {names}; the forecast leaves these days out."
    dates = len(history) + quality.gaps
    if quality.gaps > MANY_GAPS * dates:
        yield f"{quality.gaps} of {dates} dates in the history have no value."
    if request.horizon > len(history):
        yield f"The forecast reaches {request.horizon} steps from only {len(history)} values."
    if history.frequency is Frequency.MONTHLY and not has_two_seasons(history):
        yield "With less than two years of months no yearly pattern can be told from the trend."
    if request.non_negative and quality.negatives:
        yield f"The history has {quality.negatives} negative values although none are expected."


def about_points(points: Sequence[Point], *, non_negative: bool) -> Iterator[str]:
    """`points` are what the method gave, before zero became their lower bound."""
    below = sum(point.lower < 0 for point in points)
    if non_negative and below:
        yield f"{below} of {len(points)} dates reached below zero and were cut off there, as asked."


def about_test(test: Backtest, *, level: float) -> Iterator[str]:
    if test.skill is not None and test.skill < -CLEARLY:
        yield (
            f"{METHOD_NAMES[test.baseline].capitalize()} was closer in the test "
            f"(mean error {test.baseline_mae:.4g} against {test.mae:.4g})."
        )
    if test.points >= FEW_TESTED and test.coverage < level - SHORTFALL:
        yield (
            f"In the test the {level:.0%} interval held only {test.coverage:.0%} of {test.points} values; "
            "take it as too narrow."
        )
