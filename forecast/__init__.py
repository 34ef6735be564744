"""Series in; forecast, interval and backtest out. No HTTP, no database, nothing heavy until a job runs.

`parse` reads and checks what a caller sent, in any process. The work itself is `JOB`, called by that name
in a worker process with the same input: Prophet, pandas and matplotlib are loaded there and nowhere else.
"""

from __future__ import annotations

from forecast.dates import Frequency
from forecast.mistakes import BadInput, Mistake
from forecast.prediction import METHOD_NAMES, Method
from forecast.request import ForecastRequest, parse

__all__ = [
    "JOB",
    "METHOD_NAMES",
    "WARM_UP",
    "BadInput",
    "ForecastRequest",
    "Frequency",
    "Method",
    "Mistake",
    "parse",
]

JOB = "forecast.job:run"
WARM_UP = (
    "forecast.job:warm"  # takes {}; a process that has done it answers in a third of a second, not in three
)
