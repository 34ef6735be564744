"""Forecast requests on real series, as a client sends them."""

from __future__ import annotations

import csv
from pathlib import Path

from foundation.errors import Json
from tests.support.process import FORECASTER, ROOT

__all__ = ["forecast_body", "real_series"]

SERIES = ROOT / "demo" / "series"


def real_series(name: str, *, last: int) -> list[Json]:
    """The newest `last` points of a bundled series."""
    file: Path = SERIES / f"{name}.csv"
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))[-last:]
    return [{"date": row["date"], "value": float(row["value"])} for row in rows]


def forecast_body(*, points: int = 400, horizon: int = 7) -> dict[str, Json]:
    series = real_series("daily_wp_log_peyton_manning", last=points)
    return {
        "agentId": FORECASTER,
        "messages": [{"role": "user", "content": "What comes next?"}],
        "input": {"series": series, "horizon": horizon},
    }
