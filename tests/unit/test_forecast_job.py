from __future__ import annotations

import csv
import logging
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from forecast import engine, job, prophet_model
from forecast.prediction import Method
from forecast.prophet_model import ProphetFailed
from forecast.request import parse
from foundation.errors import Json

SERIES = Path(__file__).parents[2] / "demo" / "series"
SVG = "{http://www.w3.org/2000/svg}"


def silent(fraction: float, note: str) -> None:
    pass


def demo(name: str, newest: int) -> list[Json]:
    with (SERIES / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[-newest:]
    return [{"date": row["date"], "value": float(row["value"])} for row in rows]


def days(values: Sequence[float], first: date = date(2023, 1, 2)) -> list[Json]:
    return [
        {"date": (first + timedelta(days=n)).isoformat(), "value": value} for n, value in enumerate(values)
    ]


# Any: a JSON document, read field by field.
def forecast(series: list[Json], **options: Json) -> dict[str, Any]:
    return job.run({"series": series, **options}, silent)


@pytest.fixture(scope="module")
def retail() -> dict[str, Any]:
    return forecast(demo("monthly_us_retail_sales", 120), name="Retail sales")


def test_a_real_monthly_series_is_forecast_by_prophet_and_beats_last_year(retail: dict[str, Any]) -> None:
    assert retail["method"] == "prophet"
    assert [point["date"] for point in retail["points"]][:3] == ["2016-06-01", "2016-07-01", "2016-08-01"]
    assert len(retail["points"]) == retail["horizon"] == 12
    assert all(point["lower"] < point["yhat"] < point["upper"] for point in retail["points"])
    assert retail["backtest"]["skill"] > 0
    assert max(retail["components"]["yearly"], key=retail["components"]["yearly"].get) == "dec"


def test_a_real_daily_series_is_forecast_better_than_last_week() -> None:
    result = forecast(demo("daily_seattle_temp_max", 1_096), horizon=60)

    assert result["method"] == "prophet"
    assert result["backtest"]["points"] == 60
    assert result["backtest"]["skill"] > 0
    assert result["backtest"]["coverage"] > 0.8
    yearly = result["components"]["yearly"]
    assert yearly["jul"] > 5 > -5 > yearly["dec"]


def test_the_csv_holds_the_points_of_the_answer(retail: dict[str, Any]) -> None:
    rows = list(csv.DictReader(retail["csv"].splitlines()))

    assert [
        {**row, **{key: float(row[key]) for key in ("yhat", "lower", "upper")}} for row in rows
    ] == retail["points"]


def test_the_chart_is_an_svg_with_its_title_and_the_same_every_time(retail: dict[str, Any]) -> None:
    again = forecast(demo("monthly_us_retail_sales", 120), name="Retail sales")

    texts = [element.text for element in ET.fromstring(retail["svg"]).iter(f"{SVG}text")]  # noqa: S314  our own SVG
    assert {"Retail sales", "History", "Forecast", "95% interval"} <= set(texts)
    assert again == retail


def test_a_title_is_text_whatever_it_holds() -> None:
    name = "<script> $x^ 売上 & \\frac"

    result = forecast(days([1, 2, 3, 4, 5, 6, 7, 9]), name=name)

    texts = [element.text for element in ET.fromstring(result["svg"]).iter(f"{SVG}text")]  # noqa: S314  our own SVG
    assert name in texts


def test_a_weekly_pattern_is_found_and_continued() -> None:
    noise = random.Random(7)  # noqa: S311  test data
    pattern = [10, 11, 12, 13, 14, 30, 25]

    result = forecast(days([pattern[n % 7] + noise.gauss(0, 0.5) for n in range(140)]), horizon=7)

    assert [point["yhat"] for point in result["points"]] == pytest.approx(pattern, abs=2)
    assert max(result["components"]["weekly"], key=result["components"]["weekly"].get) == "sat"


def test_a_working_day_series_is_forecast_on_working_days() -> None:
    every = days([100 + n % 5 for n in range(200)])
    series = [every[n] for n in range(200) if n % 7 < 5]

    result = forecast(series, horizon=10)

    assert all(date.fromisoformat(point["date"]).weekday() < 5 for point in result["points"])
    assert any("Saturday, Sunday" in warning for warning in result["warnings"])


def test_a_constant_is_continued_and_called_so() -> None:
    result = forecast(days([0.0] * 40))

    assert result["method"] == "constant"
    assert {(point["yhat"], point["lower"], point["upper"]) for point in result["points"]} == {
        (0.0, 0.0, 0.0)
    }
    assert "All values are the same" in result["warnings"][0]


def test_a_short_history_is_answered_by_a_plain_method_that_is_named() -> None:
    result = forecast(days([3, 4, 5, 4, 3, 4, 5, 6]))

    assert result["method"] == "mean"
    assert result["backtest"] is None
    assert "shorter than two weeks" in result["warnings"][0]


def test_what_cannot_be_negative_stays_at_zero_and_says_so() -> None:
    noise = random.Random(3)  # noqa: S311  test data
    values = [max(0.0, noise.gauss(1, 2)) for _ in range(90)]

    result = forecast(days(values), nonNegative=True)

    assert all(point["lower"] >= 0 for point in result["points"])
    assert any("below zero" in warning for warning in result["warnings"])


@pytest.mark.parametrize("level", [1e-290, 1.0, 1e9, 1e14])
def test_small_changes_on_any_level_are_followed(level: float) -> None:
    noise = random.Random(5)  # noqa: S311  test data
    step = level * 1e-7
    values = [level + step * (n % 7 + noise.random()) for n in range(84)]

    result = forecast(days(values), horizon=7)

    assert all(min(values) - step <= point["yhat"] <= max(values) + step for point in result["points"])


def test_progress_rises_to_the_end() -> None:
    told: list[tuple[float, str]] = []

    job.run({"series": days(range(30))}, lambda fraction, note: told.append((fraction, note)))

    assert told[0] == (0.05, "reading 30 points")
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
    assert told[-1][0] == 1.0


def test_prophet_out_of_time_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cmdstanpy

    history = parse({"series": demo("daily_seattle_temp_max", 400)}).history
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with pytest.raises(ProphetFailed, match="did not finish"):
        prophet_model.fit(history, level=0.9, timeout_s=1e-6)

    assert list(tmp_path.iterdir()) == []
    assert [path for path in Path(cmdstanpy._TMPDIR).rglob("*") if path.is_file()] == []


def test_a_plain_method_answers_when_prophet_is_out_of_time() -> None:
    history = parse({"series": demo("daily_seattle_temp_max", 400)}).history

    outcome = engine.answer(history, horizon=7, level=0.9, timeout_s=1e-6)

    assert outcome.method is Method.SEASONAL_NAIVE
    assert [point.yhat for point in outcome.points] == list(history.values[-7:])
    assert "did not finish" in (outcome.caution or "")


def test_prophet_is_quiet(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        forecast(days(range(40)))

    assert not [record for record in caplog.records if record.name.startswith(("prophet", "cmdstanpy"))]
    assert capfd.readouterr() == ("", "")


def test_the_face_of_the_package_loads_nothing_heavy() -> None:
    heavy = {"numpy", "pandas", "prophet", "matplotlib", "cmdstanpy"}
    code = f"import forecast, sys; print(sorted({heavy} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
