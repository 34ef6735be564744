"""`forecast`: the future of a series that the model has, computed in a process of its own."""

from __future__ import annotations

import asyncio
from typing import Final

import forecast
from foundation.errors import Draining, Json
from foundation.workers import JobCrashed, JobFailed, JobTimedOut, PoolBusy
from heavy_agents.credits import Usage
from heavy_agents.tools.process import Process
from heavy_agents.tools.tool import BadArguments, Call, ToolFailed

__all__ = ["NAME", "Forecasting"]

NAME: Final = "forecast"
# Two fits of at most 45 s each, and the chart.
TIMEOUT_S: Final = 120.0
# Of one run, whatever it pays.
MOST_JOBS: Final = 20

DESCRIPTION: Final = (
    "Forecast a time series of numbers by day or month, such as sales, visits or temperatures. Returns the "
    "expected value with an interval for each future date, the method, how far off it was in a test on the "
    "newest values, and cautions that belong into your answer."
)
# What `forecast.parse` reads; it says more about each mistake than a schema can.
POINT: Final[dict[str, Json]] = {
    "type": "object",
    "properties": {
        "date": {"type": "string", "description": "2024-03-31 for a day, 2024-03 for a month"},
        "value": {"type": ["number", "null"], "description": "null where there is none"},
    },
    "required": ["date", "value"],
    "additionalProperties": False,
}
PROPERTIES: Final[dict[str, Json]] = {
    "series": {"type": "array", "items": POINT, "minItems": 2, "description": "the known values"},
    "horizon": {
        "type": "integer",
        "minimum": 1,
        "maximum": 730,
        "description": "how many days (at most 730) or months (at most 120) ahead; 30 or 12 if left out",
    },
    "frequency": {"enum": ["daily", "monthly"], "description": "left out: told from the dates"},
    "level": {
        "type": "number",
        "minimum": 0.5,
        "maximum": 0.99,
        "description": "the share of future values the interval should hold; 0.95 if left out",
    },
    "nonNegative": {"type": "boolean", "description": "true if values below zero are impossible"},
    "name": {"type": "string", "maxLength": 100, "description": "what the series is called"},
}


class Forecasting:
    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def name(self) -> str:
        return NAME

    @property
    def description(self) -> str:
        return DESCRIPTION

    @property
    def parameters(self) -> dict[str, Json]:
        return {
            "type": "object",
            "properties": PROPERTIES,
            "required": ["series"],
            "additionalProperties": False,
        }

    async def call(self, arguments: dict[str, Json], call: Call) -> Json:
        try:
            await asyncio.to_thread(forecast.parse, arguments)
        except forecast.BadInput as error:
            mistakes = (f"{each.field}: {each.message}" for each in error.errors)
            raise BadArguments("; ".join(mistakes)) from None
        return _compact(await self._compute(arguments, call))

    async def _compute(self, arguments: dict[str, Json], call: Call) -> Json:
        # Nothing may be awaited between the two: other calls count at the same time.
        if call.used().compute_jobs >= MOST_JOBS:
            raise ToolFailed(f"there is no forecast: {MOST_JOBS} were computed already; go on without more")
        began_s = asyncio.get_running_loop().time()
        call.spend(Usage(compute_jobs=1))
        try:
            result = await self._process.run(forecast.JOB, arguments, timeout_s=TIMEOUT_S)
        except (PoolBusy, Draining, JobCrashed, JobTimedOut) as error:
            raise ToolFailed(f"there is no forecast: {error.detail}") from error
        except JobFailed as error:
            # What it raised is for the log, where the pool has written it.
            raise ToolFailed("there is no forecast: the computation failed") from error
        took_s = asyncio.get_running_loop().time() - began_s
        call.spend(Usage(compute_ms=round(took_s * 1000)))
        return result


def _compact(document: Json) -> Json:
    """What a model can use: no chart, no table, no parts."""
    if not isinstance(document, dict):
        raise TypeError("a forecast is a document")
    return {
        "name": document["name"],
        "method": forecast.METHOD_NAMES[forecast.Method(str(document["method"]))],
        "frequency": document["frequency"],
        "level": document["level"],
        "points": document["points"],
        "test": document["backtest"],
        "cautions": document["warnings"],
    }
