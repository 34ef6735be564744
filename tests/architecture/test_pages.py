"""That the pages for operators name only what there is: settings, metrics, routes, verbs, tables, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import promql_parser
import pytest
from prometheus_client import Metric

import railway_server
from commands.cli import cli
from foundation.settings import Settings
from foundation.telemetry import Metrics
from tests.architecture.sources import ROOT, product_sources
from tests.architecture.test_environment import _names
from tests.support.fences import blocks, inline

PAGES: Final = [ROOT / "docs" / "operations.md", ROOT / "docs" / "deploy.md", ROOT / "SECURITY.md"]
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
RULES: Final = ROOT / "deploy" / "observability" / "rules"

# Variables that are not settings of the server.
OTHERS: Final = frozenset({
    "SWITCHYARD", "ACCOUNT", "RUN", "TOKEN",  # of the pages' own commands
    "NEW_DATABASE_URL", "SUPABASE_ANON_KEY",
    "SWITCHYARD_URL", "RAILWAY_TOKEN", "RAILWAY_SERVICES",  # of the workflow that deploys
    "RAILWAY_BACKEND_URL", "ALLOWED_ORIGIN",  # of edge functions
    "RAILWAY_DEPLOYMENT_DRAINING_SECONDS", "RAILWAY_DEPLOYMENT_OVERLAP_SECONDS",  # of Railway
    "ON_ERROR_STOP",  # of psql
})  # fmt: skip
STATES: Final = frozenset(
    {"CRASHED", "FAILED", "REMOVED", "SUCCESS", "SIGTERM", "SIGKILL", "POST", "GET", "DELETE"}
)
METRIC: Final = re.compile(r"\b(?:heavy_agent|http|process|event_loop_lag|active_agents|forecast)_[a-z_]+\b")


@EACH
def test_every_variable_is_a_setting_or_known_to_be_somebody_elses(page: Path) -> None:
    settings = {name for field in Settings.model_fields.values() for name in _names(field)}

    named = {name for text in code(page) for name in re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", text)}
    named |= {name for text in code(page) for name in re.findall(r"\$([A-Z_]+)\b", text)}

    assert named - settings - OTHERS - STATES == set()


@EACH
def test_every_metric_is_counted(page: Path) -> None:
    named = {name for text in (*inline(read(page)), *queries(page)) for name in METRIC.findall(text)}

    assert named - metrics() == set()


@EACH
def test_every_query_is_one(page: Path) -> None:
    for query in queries(page):
        promql_parser.parse(query)


@EACH
def test_every_route_is_served(page: Path) -> None:
    served = [re.sub(r"\{\w+\}", "[^/]+", path) for path in paths()]
    found = {
        route.rstrip("./")
        for text in code(page)
        for route in re.findall(
            r"(?<![\w.}/])(?:\$SWITCHYARD)?(/(?:api|health|metrics|ws|functions)\b[\w/{}$-]*)", text
        )
    }

    assert [route for route in sorted(found) if not any(re.fullmatch(path, route) for path in served)] == []


@EACH
def test_every_verb_is_offered(page: Path) -> None:
    named = {verb for text in code(page) for verb in re.findall(r"railway_server\.py ([a-z]+)", text)}

    assert named - {command.name for command in cli(railway_server.build).registered_commands} == set()


@EACH
def test_every_table_and_function_of_the_schema_is_there(page: Path) -> None:
    made = "\n".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "supabase" / "migrations").iterdir()
    )
    named = {name for text in code(page) for name in re.findall(r"\bswitchyard\.[a-z_]+\b", text)}
    named |= {f"public.{name}" for text in code(page) for name in re.findall(r"\bswitchyard_[a-z_]+\b", text)}

    assert [
        name
        for name in sorted(named)
        if not re.search(rf"create (?:or replace )?(?:table|function) {name}\b", made)
    ] == []


@EACH
def test_every_line_of_a_log_that_is_looked_for_is_written(page: Path) -> None:
    ours = "\n".join(source.text for source in product_sources())
    named = {name for text in code(page) for name in re.findall(r"@event:(\w+)", text)}

    assert [name for name in sorted(named) if f'"{name}"' not in ours] == []


@EACH
def test_every_script_and_link_leads_somewhere(page: Path) -> None:
    scripts = {name for text in code(page) for name in re.findall(r"(?<![\w/.])scripts/[\w./-]+", text)}
    links = [link for link in re.findall(r"\]\(([^)]+)\)", read(page)) if "://" not in link]

    assert [name for name in sorted(scripts) if not (ROOT / name).exists()] == []
    assert links
    assert [link for link in links if not leads_somewhere(link, page)] == []


def test_every_section_about_an_alert_is_about_one_that_rings() -> None:
    alerts = {name for file in RULES.glob("*.yml") for name in re.findall(r"- alert: (\w+)", read(file))}

    sections = re.findall(r"^### (Switchyard\w+)$", read(PAGES[0]), re.MULTILINE)

    assert sections
    assert [name for name in sections if name not in alerts] == []


@cache
def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def code(page: Path) -> list[str]:
    return [*inline(read(page)), *(block.text for block in blocks(read(page)))]


def queries(page: Path) -> Iterator[str]:
    for block in blocks(read(page)):
        if block.language == "promql":
            yield from block.text.splitlines()


@cache
def metrics() -> set[str]:
    families: list[Metric] = list(Metrics().registry.collect())
    names = {family.name for family in families}
    return names | {f"{name}_{part}" for name in names for part in ("total", "bucket", "count", "sum")}


@cache
def paths() -> list[str]:
    backend = railway_server.build(Settings(_env_file=None, DATABASE_URL="postgresql://nowhere"))
    # Any: a JSON document.
    described: dict[str, Any] = backend.app.openapi()
    return [*described["paths"], "/metrics", "/ws"]


def leads_somewhere(link: str, page: Path) -> bool:
    name, _, anchor = link.partition("#")
    file = page if not name else (page.parent / name).resolve()
    if not file.exists():
        return False
    return not anchor or anchor in {
        slug(title) for title in re.findall(r"^#+ (.*)$", read(file), re.MULTILINE)
    }


def slug(title: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
