"""Which method answers: Prophet where the data carry it and it finishes, else a plain one that is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from forecast import baseline, prophet_model
from forecast.dates import Frequency
from forecast.history import History
from forecast.parts import Parts, describe
from forecast.prediction import METHOD_NAMES, Method, Point
from forecast.prophet_model import ProphetFailed

__all__ = ["Outcome", "answer", "predict", "unfit_for_prophet"]

FIT_TIMEOUT_S = 40.0


@dataclass(frozen=True, slots=True)
class Outcome:
    method: Method
    points: tuple[Point, ...]
    parts: Parts | None  # Prophet's only
    caution: str | None  # why it is not Prophet


def answer(history: History, *, horizon: int, level: float, timeout_s: float = FIT_TIMEOUT_S) -> Outcome:
    """The next `horizon` steps. Always answers: what Prophet cannot do, a plain method does, and says so."""
    days = history.following(horizon)
    if reason := unfit_for_prophet(history):
        return _plainly(history, days, level=level, reason=reason)
    try:
        fitted = prophet_model.fit(history, level=level, timeout_s=timeout_s)
        points = fitted.predict(days)
    except ProphetFailed as failure:
        return _plainly(history, days, level=level, reason=str(failure))
    return Outcome(Method.PROPHET, points, describe(fitted, history, days[-1]), None)


def predict(history: History, days: Sequence[date], *, method: Method, level: float) -> tuple[Point, ...]:
    """What `method` says about `days`, knowing only `history`.

    Raises:
        ProphetFailed: the method is Prophet and it gave no answer on this history.
    """
    if method is Method.PROPHET:
        return prophet_model.fit(history, level=level, timeout_s=FIT_TIMEOUT_S).predict(days)
    return baseline.predict(history, days, level=level)


def unfit_for_prophet(history: History) -> str | None:
    """Why a trend and a season cannot be told from `history`; None when they can be tried."""
    if history.is_constant:
        return "All values are the same"
    if history.frequency is Frequency.DAILY and not baseline.has_two_seasons(history):
        return "The history is shorter than two weeks"
    return None


def _plainly(history: History, days: Sequence[date], *, level: float, reason: str) -> Outcome:
    method = baseline.choose(history)
    points = baseline.predict(history, days, level=level)
    return Outcome(method, points, None, f"{reason}, so the answer is {METHOD_NAMES[method]}.")
