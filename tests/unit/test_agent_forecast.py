from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from forecast import job
from foundation.errors import InvalidBody, Json
from foundation.outbound import Outbound
from foundation.telemetry import Metrics
from foundation.workers import Progress, WorkerPool
from heavy_agents import runs
from heavy_agents.agents import Context, ForecastAgent
from heavy_agents.agents.forecast_text import Document, describe
from heavy_agents.llm import Model
from heavy_agents.runs import AgentSnapshot, Message, RunRequest
from heavy_agents.tools import Toolbox

SERIES = Path(__file__).parents[2] / "demo" / "series" / "monthly_us_emp_leisure_and_hospitality.csv"


def demo() -> list[Json]:
    with SERIES.open(newline="") as file:
        return [{"date": row["date"], "value": float(row["value"])} for row in csv.DictReader(file)]


def silent(fraction: float, note: str) -> None:
    pass


def asked(raw: dict[str, Json]) -> RunRequest:
    row: dict[str, Json] = {"name": "Forecaster", "kind": "forecast"}
    return RunRequest(
        messages=(Message("user", "What comes next?"),), input=raw, agent=AgentSnapshot.from_json(row)
    )


class OneRun(runs.Context):
    """A run without a database: it computes in real processes and keeps what the agent hands out."""

    def __init__(self, request: RunRequest, pool: WorkerPool) -> None:
        self.request = request
        self.attempt = 1
        self.pool = pool
        self.steps: list[str] = []
        self.notes: list[str] = []
        self.fractions: list[float] = []
        self.artifacts: dict[str, tuple[str, bytes]] = {}

    async def progress(self, fraction: float, note: str) -> None:
        self.fractions.append(fraction)
        self.notes.append(note)

    async def process(
        self,
        step: str,
        target: str,
        arguments: dict[str, Json],
        *,
        timeout_s: float,
        progress: tuple[float, float] = (0.0, 1.0),
    ) -> Json:
        low, high = progress

        async def show(told: Progress) -> None:
            await self.progress(low + (high - low) * told.fraction, told.note)

        self.steps.append(step)
        return await self.pool.run(target, arguments, timeout_s=timeout_s, on_progress=show)

    async def artifact(self, name: str, *, media_type: str, content: bytes) -> None:
        self.artifacts[name] = (media_type, content)


def equipped(run: OneRun) -> Context:
    model = Model(base_url=None, api_key=None, outbound=Outbound(), metrics=Metrics())
    return Context(run, model=model, toolbox=Toolbox([]), token_limit=1000)


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(processes=1, memory_mb=1024)
    await pool.start()
    yield pool
    await pool.stop()


async def test_a_run_ends_with_the_forecast_its_files_and_a_text(pool: WorkerPool) -> None:
    raw: dict[str, Json] = {"series": demo(), "name": "Leisure jobs", "level": 0.8}
    run = OneRun(asked(raw), pool)

    answer = await ForecastAgent(Metrics()).run(equipped(run))

    # The same numbers as in this process: nothing depends on where it was computed.
    expected = job.run(raw, silent)
    content, chart = expected.pop("csv"), expected.pop("svg")
    assert answer.output == expected
    assert run.artifacts == {
        "forecast.csv": ("text/csv", str(content).encode()),
        "forecast.svg": ("image/svg+xml", str(chart).encode()),
    }
    assert run.steps == ["forecast"]
    assert run.fractions == sorted(run.fractions)
    assert "fitting Prophet" in run.notes
    assert answer.response.startswith("Leisure jobs: the next value, for 2016-01-01, is expected at ")


@pytest.mark.parametrize("name", ["@history", "@"])
async def test_the_platforms_own_steps_are_not_an_agents(pool: WorkerPool, name: str) -> None:
    context = equipped(OneRun(asked({}), pool))

    with pytest.raises(ValueError, match="the platform's"):
        await context.process(name, "forecast.job:run", {}, timeout_s=1)


def test_a_wrong_input_is_refused_with_paths_into_the_body() -> None:
    series = demo()
    series[3] = {"date": "1.4.2006", "value": None}

    with pytest.raises(InvalidBody) as refused:
        ForecastAgent(Metrics()).check(asked({"series": series, "horizon": 9_999}))

    assert [each.field for each in refused.value.errors] == ["input.series[3].date", "input.horizon"]


def test_a_run_without_a_series_is_told_that_it_needs_one() -> None:
    with pytest.raises(InvalidBody) as refused:
        ForecastAgent(Metrics()).check(asked({}))

    assert refused.value.errors[0].field == "input.series"
    assert "is missing" in refused.value.errors[0].message


def test_a_right_input_is_let_through() -> None:
    ForecastAgent(Metrics()).check(asked({"series": demo()}))


def test_the_text_names_the_method_the_test_and_every_warning() -> None:
    document = Document.model_validate(
        {
            "name": None,
            "method": "prophet",
            "frequency": "daily",
            "level": 0.95,
            "horizon": 9,
            "points": [
                {"date": f"2024-01-{day:02}", "yhat": 10_347.0, "lower": 5_862.5, "upper": 15_064.0}
                for day in range(1, 10)
            ],
            "backtest": {
                "points": 9,
                "mae": 827.0,
                "coverage": 0.89,
                "baseline": "seasonal_naive",
                "baselineMae": 678.0,
                "skill": -0.22,
            },
            "warnings": ["The dates were not in order; they were sorted."],
            "csv": "",
            "svg": "",
        }
    )

    text = describe(document)

    assert text == (
        "The next value, for 2024-01-01, is expected at 10,347 (95% interval 5,862.5 to 15,064). "
        "The method is Prophet, for 9 days up to 2024-01-09.\n\n"
        "In a test on the newest 9 values, which the method had not seen, it was off by 827 on average, "
        "22% more than the last season repeated (678). The 95% interval held 89% of them.\n\n"
        "Please note:\n- The dates were not in order; they were sorted.\n\n"
        "| date | forecast | 95% from | to |\n| --- | ---: | ---: | ---: |\n"
        + "".join(f"| 2024-01-0{day} | 10,347 | 5,862.5 | 15,064 |\n" for day in range(1, 8))
        + "\nThe other 2 are in `forecast.csv`; `forecast.svg` is the chart."
    )
