"""The forecast agent: a series in the run's input; a forecast with its interval, a test and a chart out."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import forecast
from foundation.errors import FieldError, InvalidBody
from foundation.telemetry import Metrics
from heavy_agents.agents.context import Context
from heavy_agents.agents.forecast_text import Document, describe
from heavy_agents.runs import Answer, RunRequest

__all__ = ["ForecastAgent"]

# Two fits of at most 45 s each, and the chart.
TIMEOUT_S = 120.0


class ForecastAgent:
    kind: ClassVar[str] = "forecast"

    def __init__(self, metrics: Metrics) -> None:
        self._seconds = metrics.forecast_seconds

    def check(self, request: RunRequest) -> None:
        """Refuse what cannot be forecast before a credit is held.

        Raises:
            InvalidBody: with the fields of the input that are wrong.
        """
        try:
            forecast.parse(request.input)
        except forecast.BadInput as error:
            raise InvalidBody(
                FieldError(f"input.{each.field}", each.message) for each in error.errors
            ) from None

    async def run(self, ctx: Context) -> Answer:
        """One journaled computation; everything after it repeats safely."""
        await ctx.progress(0.0, "waiting for a process")
        began_s = asyncio.get_running_loop().time()
        result = await ctx.process(
            "forecast", forecast.JOB, ctx.request.input, timeout_s=TIMEOUT_S, progress=(0.02, 0.95)
        )
        document = Document.model_validate(result)
        if ctx.attempt == 1:  # later it may have been read from the journal
            self._seconds.labels(method=document.method.value).observe(
                asyncio.get_running_loop().time() - began_s
            )
        await ctx.artifact("forecast.csv", media_type="text/csv", content=document.csv.encode())
        await ctx.artifact("forecast.svg", media_type="image/svg+xml", content=document.svg.encode())
        output = document.model_dump(mode="json", by_alias=True, exclude={"csv", "svg"})
        return Answer(response=describe(document), output=output)
