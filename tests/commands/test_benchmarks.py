"""The benchmarks run, do what they say they do, and write down what they have measured.

A third of them a day: each starts servers of its own. `SWITCHYARD_BENCHMARKS=1` tries all.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import orjson
import pytest

from tests.support.process import ROOT, environment
from tests.support.today import on_day

FIRST, SECOND, THIRD = (on_day(number, of=3, unless="SWITCHYARD_BENCHMARKS") for number in range(3))


@FIRST
async def test_the_agent_loop_is_measured_for_each_subject_that_is_there(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    subjects = ("Switchyard", "openai by hand", "bytes by hand")
    how = ("--runs", "4", "--at-once", "4", "--rounds", "1", "--json", str(figures))

    await _run("agent_loop.py", *how, "--only", *subjects)

    measured = orjson.loads(figures.read_bytes())
    assert measured["runs"] == 4
    assert {each["subject"] for each in measured["figures"]} == set(subjects)


@SECOND
async def test_boots_imports_and_memory_are_measured_beside_bare_servers(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    subjects = ("bare Starlette", "Switchyard, embedded database")

    await _run("boot.py", "--rounds", "1", "--json", str(figures), "--only", *subjects)

    measured = orjson.loads(figures.read_bytes())["figures"]
    assert {each["subject"] for each in measured if each["table"] == "from its start"} == set(subjects)
    assert all(each["median"] > 0 for each in measured if each["quantity"] != "its processes, MB")


# A safety net: what is measured here takes seconds, on a machine with nothing else to do.
WITHIN_S = 300.0
KEPT_AND_NOT = {"Switchyard", "bare Starlette and asyncpg", "bare Starlette"}
CREDIT_CALLS = {"Switchyard's pool", "its SQL functions by asyncpg", "bare `update … returning`"}


@pytest.mark.parametrize(
    ("script", "number", "subjects"),
    [
        pytest.param("first_event.py", "--runs", KEPT_AND_NOT, marks=FIRST),
        pytest.param("runs_per_second.py", "--runs", KEPT_AND_NOT, marks=THIRD),
        pytest.param("credits.py", "--pairs", CREDIT_CALLS, marks=SECOND),
    ],
)
async def test_runs_and_credits_are_measured_beside_their_floors(
    script: str, number: str, subjects: set[str], tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"

    how = (number, "4", "--rounds", "1", "--json", str(figures), "--only", *sorted(subjects))

    await _run(script, *how)

    measured = orjson.loads(figures.read_bytes())["figures"]
    assert {each["subject"] for each in measured} == subjects
    assert all(each["median"] > 0 for each in measured if "CPU" not in each["quantity"])


@THIRD
async def test_tokens_are_followed_from_the_model_to_the_client(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    how = ("--streams", "4", "--pace", "100", "--tokens", "260", "--rounds", "1", "--json", str(figures))
    subjects = ("Switchyard", "bytes by hand")

    await _run("tokens.py", *how, "--only", *subjects)

    measured = orjson.loads(figures.read_bytes())["figures"]
    assert {each["subject"] for each in measured} == set(subjects)
    assert all(each["median"] > 0 for each in measured)


@THIRD
async def test_idle_sockets_and_watchers_are_measured(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    how = ("--sockets", "20", "--watchers", "10", "--pace", "20", "--events", "110", "--rounds", "1")

    await _run("sockets.py", *how, "--json", str(figures), "--only", "Switchyard")

    measured = orjson.loads(figures.read_bytes())["figures"]
    assert {each["quantity"] for each in measured} == {
        "kB each",
        "a request meanwhile p99, ms",
        "under way p50, ms",
        "p99, ms",
        "loop lag p99, ms at most",
        "CPU a message, µs",
    }


@FIRST
async def test_servers_are_soaked_and_looked_at(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    how = ("--minutes", "0.1", "--pace", "10", "--servers", "1", "--look-s", "0.3")

    await _run("soak.py", *how, "--json", str(figures))

    measured = orjson.loads(figures.read_bytes())
    assert {each["quantity"] for each in measured["figures"]} == {
        "memory, MB",
        "tasks",
        "open files",
        "threads",
        "connections to Postgres",
    }
    assert all(each["last"] > 0 for each in measured["figures"])
    assert sum(measured["visits"].values()) > 5
    assert not [visit for visit in measured["visits"] if visit.startswith("failed")]


@SECOND
async def test_calls_are_measured_on_a_full_database_beside_an_empty_one(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    # The busy user has a tenth of the runs, and half of those make the deep page.
    how = ("--runs", "1100", "--events", "2200", "--users", "50", "--calls", "2", "--rounds", "1")

    await _run("growth.py", *how, "--queued", "40", "--lives", "20", "--json", str(figures))

    measured = orjson.loads(figures.read_bytes())["figures"]
    subjects = {each["subject"] for each in measured}
    assert {"runs_submit", "runs_claim", "events_read, the middle of a long run", "runs_list"} <= subjects
    assert {"runs_claim of 32", "a page of the list", "without autovacuum"} <= subjects
    times = [each for each in measured if each["quantity"].split()[-1] in {"µs", "ms"}]
    assert times
    assert all(each["median"] > 0 for each in times)


async def _run(script: str, *arguments: str) -> None:
    measuring = await asyncio.create_subprocess_exec(
        *(sys.executable, f"benchmarks/{script}", *arguments),
        cwd=ROOT,
        env=environment({}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(measuring.communicate(), WITHIN_S)
    finally:
        if measuring.returncode is None:
            # It ends what it has started, which a SIGKILL would leave behind.
            measuring.send_signal(signal.SIGINT)
            await measuring.wait()
    assert measuring.returncode == 0, said.decode()
