"""One forecast from start to finish, called by name in a worker process: JSON in, JSON out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import chain

from forecast import backtest, cautions, chart, engine
from forecast.backtest import Backtest
from forecast.engine import Outcome
from forecast.history import History
from forecast.prediction import Method, Point, not_below_zero
from forecast.prophet_model import ProphetFailed
from forecast.request import ForecastRequest, parse
from forecast.result import as_csv, as_json
from foundation.errors import Json

__all__ = ["run", "warm"]

Report = Callable[[float, str], None]


def run(arguments: Mapping[str, Json], report: Report) -> dict[str, Json]:
    """The document of `forecast.result` with `csv` and `svg` beside it.

    Args:
        arguments: the run's input, as `parse` reads it.
        report: called with the share done, 0 to 1, and what comes next.

    Raises:
        BadInput: as `parse` does.
    """
    request = parse(arguments)
    report(0.05, f"reading {len(request.history)} points")
    reason = engine.unfit_for_prophet(request.history)
    report(0.1, "fitting Prophet" if reason is None else "repeating the history")
    raw = engine.answer(request.history, horizon=request.horizon, level=request.level)
    report(0.5, "testing on the newest values")
    test, failed = _test(request, raw.method)
    report(0.8, "drawing the chart")
    outcome = replace(raw, points=_bounded(request, raw.points))
    said = [*_cautions(request, raw, test), *failed]
    document = as_json(request, outcome, test, cautions=said)
    csv, svg = as_csv(request.history, outcome.points), chart.draw(request, outcome)
    report(1.0, "done")
    return {**document, "csv": csv, "svg": svg}


def warm(arguments: Mapping[str, Json], report: Report) -> None:
    """Run a small forecast for nothing, so that this process has its libraries loaded for the next one.

    Args:
        arguments: none are taken.
    """
    del arguments
    months = [f"{2000 + year}-{month:02}" for year in range(4) for month in range(1, 13)]
    run({"series": [{"date": month, "value": place % 12} for place, month in enumerate(months)]}, report)


def _test(request: ForecastRequest, method: Method) -> tuple[Backtest | None, list[str]]:
    """The backtest, and what is to be said when there is none."""
    points = backtest.held_out(request.history, horizon=request.horizon)
    if not points:
        return None, ["The history is too short to test the method on values it has not seen."]

    def predict(known: History, days: Sequence[date]) -> tuple[Point, ...]:
        return _bounded(request, engine.predict(known, days, method=method, level=request.level))

    try:
        return backtest.judge(request.history, points=points, predict=predict, level=request.level), []
    except ProphetFailed as failure:
        return None, [f"There is no test on unseen values: {failure} on the shortened history."]


def _bounded(request: ForecastRequest, points: tuple[Point, ...]) -> tuple[Point, ...]:
    return not_below_zero(points) if request.non_negative else points


def _cautions(request: ForecastRequest, raw: Outcome, test: Backtest | None) -> Iterator[str]:
    return chain(
        [raw.caution] if raw.caution is not None else [],
        cautions.about_data(request),
        cautions.about_points(raw.points, non_negative=request.non_negative),
        [] if test is None else cautions.about_test(test, level=request.level),
    )
