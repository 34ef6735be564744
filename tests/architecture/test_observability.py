"""The alerts and the dashboard ask for nothing that a process does not tell.

A name, a label or a value that is misspelt is answered with nothing, and an alert on nothing never rings.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

import pytest
from starlette.routing import Route

from foundation.telemetry import Metrics
from heavy_agents.llm.tally import OUTCOMES
from heavy_agents.runs.ends import REAPED, STATUSES
from routing.app import AREAS, PROBES
from routing.socket.inbound import MODELS
from tests.support.alerts import OBSERVABILITY, alerts, recordings
from tests.support.promql import Series, Wrong, labels_of, matchers_of, series_of

DASHBOARD: Final = OBSERVABILITY / "grafana" / "switchyard.json"
SEVERITIES: Final = {"page", "ticket"}
ANNOTATIONS: Final = {"summary", "description", "runbook_url"}
# Any: as JSON gives it.
Json = dict[str, Any]

# The values of labels that are written out somewhere; of others, only that there is such a label is held.
VALUES: Final = {
    ("heavy_agent_runs_total", "status"): set(STATUSES),
    ("heavy_agent_recovered_total", "reason"): set(REAPED),
    ("heavy_agent_model_calls_total", "outcome"): set(OUTCOMES),
    ("heavy_agent_socket_messages_total", "type"): set(MODELS),
    ("", "sli"): {"requests", "runs"},
}


def _known() -> Series:
    known = dict(series_of(Metrics()))
    for rule in recordings():
        labels = labels_of(rule["expr"], known) | set(rule.get("labels", {}))
        known[rule["record"]] = known.get(rule["record"], labels) | labels
    return known


KNOWN: Final = _known()


def _panels() -> list[Json]:
    document = json.loads(DASHBOARD.read_text())
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def _asked() -> dict[str, str]:
    """Every expression of the dashboard, under the title of its panel."""
    found = {}
    for panel in _panels():
        for target in panel["targets"]:
            plain = target["expr"].replace("$__rate_interval", "5m").replace("$__range", "1h")
            found[f"{panel['title']} {target['refId']}"] = plain
    return found


ASKED: Final = _asked() | {name: rule["expr"] for name, rule in alerts().items()}
ALL: Final = ASKED | {f"{rule['record']} {n}": rule["expr"] for n, rule in enumerate(recordings())}


@pytest.mark.parametrize("name", ALL)
def test_an_expression_asks_for_what_there_is(name: str) -> None:
    labels_of(ALL[name], KNOWN)

    for series, label, value in matchers_of(ALL[name]):
        values = VALUES.get((series, label)) or VALUES.get(("", label))
        if values is not None:
            assert set(value.split("|")) <= values, f"{series}: {label} is never {value}"
        if label == "route":
            assert [each for each in value.split("|") if not _matches_a_route(each)] == []


def _matches_a_route(pattern: str) -> bool:
    """The edge's own route comes with its release; what is left out of the rules may come later."""
    return pattern == "/functions/.*" or any(re.fullmatch(pattern, path) for path in _paths())


@cache
def _paths() -> list[str]:
    return [
        route.path for area in (*AREAS, *PROBES) for route in area.router().routes if isinstance(route, Route)
    ]


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("rate(heavy_agent_run_total[5m])", "no series heavy_agent_run_total"),
        ("heavy_agent_runs", "no series heavy_agent_runs"),
        ("heavy_agent_run_seconds", "no series heavy_agent_run_seconds"),
        ('heavy_agent_runs_total{state="failed"}', "no label state"),
        ("sum by (code) (heavy_agent_runs_total)", "no label code"),
        ("histogram_quantile(0.9, rate(heavy_agent_run_seconds_sum[5m]))", "no label le"),
        ("histogram_quantile(0.9, sum by (kind) (rate(heavy_agent_run_seconds_bucket[5m])))", "no label le"),
        ("heavy_agent_ready / heavy_agent_runs_total", "never the same labels"),
        ("heavy_agent_ready and on (kind) heavy_agent_runs_total", "no label kind"),
    ],
)
def test_what_there_is_not_is_found(expression: str, says: str) -> None:
    with pytest.raises(Wrong, match=says):
        labels_of(expression, KNOWN)


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_how_urgent_it_is_what_is_wrong_and_where_to_read_on(name: str) -> None:
    rule = alerts()[name]
    told = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))

    assert name.startswith("Switchyard")
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"].keys() == ANNOTATIONS
    assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"
    assert told <= labels_of(rule["expr"], KNOWN)


def test_every_recording_is_used() -> None:
    used = {
        series for expression in ASKED.values() for series in re.findall(r"switchyard:[\w:]+", expression)
    }

    assert used == {rule["record"] for rule in recordings()}


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    shown = " ".join(_asked().values())
    ours = [name for name in _own_names() if not re.search(rf"\b{name}(_bucket|_count|_sum)?\b", shown)]

    assert ours == []


def _own_names() -> set[str]:
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in series_of(Metrics())}
    others = ("process_", "python_", "up")
    return {name for name in names if not name.startswith(others) and not name.endswith("_created")}


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    places = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(places)) == len(places)
    assert {x for x, _ in places} == set(range(24))


def test_every_query_goes_to_the_chosen_source_and_the_chosen_processes() -> None:
    for panel in _panels():
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert 'job=~"$job"' in target["expr"]
