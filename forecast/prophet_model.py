"""Prophet, run so that it ends: bounded in time, quiet, repeatable, and leaving no files behind.

Its optimiser is chosen here. Left alone, Prophet takes Newton's method below 100 points, which can run for
minutes on three years of months; L-BFGS does not. Where L-BFGS gives up, Newton gets a few seconds, and then
the caller is told (`ProphetFailed`) rather than kept waiting.

Runs in a worker process: the first call imports Prophet (about a second, 140 MB), and sampling sets numpy's
global generator, because Prophet takes no other.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from forecast.baseline import has_two_seasons
from forecast.dates import Frequency
from forecast.history import History
from forecast.prediction import Point

if TYPE_CHECKING:
    import pandas as pd
    from prophet import Prophet

__all__ = ["Fitted", "ProphetFailed", "fit"]

SEED = 20_240_229
SAMPLES = 1_000
NEWTON_TIMEOUT_S = 5.0
# Prophet's own default of 10 has more terms than a year has months; 5 is as accurate on days and calmer.
YEARLY_ORDER = 5
WEEKLY_ORDER = 3
TWO_YEARS = timedelta(days=2 * 365 - 1)
POINTS_A_CHANGEPOINT = 3
CHANGEPOINTS = 25
FLAT_SHARE = 0.01
LOGGERS = ("prophet", "prophet.models", "prophet.plot", "cmdstanpy")


class ProphetFailed(Exception):
    """Prophet gave no usable answer; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model, still in this process; never pickled."""

    model: Prophet

    def predict(self, days: Sequence[date]) -> tuple[Point, ...]:
        """The same days give the same numbers, in any process.

        Args:
            days: ascending.

        Raises:
            ProphetFailed: a number is not finite.
        """
        with _quiet(), _seeded():
            frame = self.model.predict(_dates(days))
        columns = (frame[name].tolist() for name in ("yhat", "yhat_lower", "yhat_upper"))
        points = tuple(Point(day, *numbers) for day, *numbers in zip(days, *columns, strict=True))
        if not all(math.isfinite(each) for p in points for each in (p.yhat, p.lower, p.upper)):
            raise ProphetFailed("Prophet's numbers overflowed")
        return points

    def parts(self, days: Iterable[date]) -> Mapping[str, Mapping[date, float]]:
        """What is added up on each of `days`: `trend`, and `weekly`, `yearly` where the model has them."""
        ordered = sorted(set(days))  # Prophet answers in the order of the dates, whatever it was asked
        samples, self.model.uncertainty_samples = self.model.uncertainty_samples, 0
        try:
            with _quiet():
                frame = self.model.predict(_dates(ordered))
        finally:
            self.model.uncertainty_samples = samples
        names = [name for name in ("trend", "weekly", "yearly") if name in frame]
        return {name: dict(zip(ordered, frame[name].tolist(), strict=True)) for name in names}


def fit(history: History, *, level: float, timeout_s: float) -> Fitted:
    """Fit Prophet to `history`, in at most `timeout_s` and five seconds more.

    Args:
        level: the share of values the interval is to hold.

    Raises:
        ProphetFailed: it did not converge, or not in time.
    """
    with _quiet():
        try:
            return _optimise(history, level, algorithm="LBFGS", timeout_s=timeout_s)
        except TimeoutError:
            raise ProphetFailed(f"Prophet did not finish within {timeout_s:g} s") from None
        except RuntimeError:
            pass
        try:
            return _optimise(history, level, algorithm="Newton", timeout_s=NEWTON_TIMEOUT_S)
        except (RuntimeError, TimeoutError) as error:
            raise ProphetFailed("Prophet did not converge") from error


def _optimise(history: History, level: float, *, algorithm: str, timeout_s: float) -> Fitted:
    import pandas as pd

    model = _configured(history, level)
    frame = _dates(history.days).assign(y=pd.Series(history.values))
    # A folder of our own: cmdstan's files are gone after a failure or a timeout too.
    with TemporaryDirectory(prefix="forecast-") as folder:
        model.fit(frame, algorithm=algorithm, timeout=timeout_s, seed=SEED, output_dir=folder)
    return Fitted(model)


def _configured(history: History, level: float) -> Prophet:
    from prophet import Prophet

    is_daily = history.frequency is Frequency.DAILY
    has_years = history.days[-1] - history.days[0] >= TWO_YEARS if is_daily else has_two_seasons(history)
    model = Prophet(
        # Prophet divides by the largest value; small changes on a high level would drown in its noise term.
        scaling="minmax" if _is_high_and_flat(history) else "absmax",
        interval_width=level,
        uncertainty_samples=SAMPLES,
        n_changepoints=min(CHANGEPOINTS, len(history) // POINTS_A_CHANGEPOINT),
        yearly_seasonality=YEARLY_ORDER if has_years else False,
        weekly_seasonality=WEEKLY_ORDER if is_daily and len(history.weekdays) > 1 else False,
        daily_seasonality=False,
    )
    # Prophet's own fallback to Newton takes the whole time limit once more; ours takes seconds.
    if model.stan_backend is not None:
        model.stan_backend.set_options(newton_fallback=False)
    return model


def _is_high_and_flat(history: History) -> bool:
    lowest, highest = min(history.values), max(history.values)
    return highest - lowest < FLAT_SHARE * max(abs(lowest), abs(highest))


def _dates(days: Sequence[date]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"ds": pd.to_datetime(list(days))})


@contextmanager
def _quiet() -> Iterator[None]:
    """Prophet and cmdstan log their progress, and Prophet calls pandas in ways that are on their way out.

    A worker's log is for what went wrong with a job.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


@contextmanager
def _seeded() -> Iterator[None]:
    import numpy as np

    before = np.random.get_state()
    np.random.seed(SEED)
    try:
        yield
    finally:
        np.random.set_state(before)
