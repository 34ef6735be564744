"""The benchmarks run, do what they say they do, and write down what they have measured."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import orjson

from tests.support.process import ROOT, environment


async def test_the_agent_loop_is_measured_for_each_subject_that_is_there(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    subjects = ("Switchyard", "openai by hand", "bytes by hand")
    measuring = await asyncio.create_subprocess_exec(
        *(sys.executable, "benchmarks/agent_loop.py", "--runs", "4", "--rounds", "1"),
        *("--json", str(figures), "--only", *subjects),
        cwd=ROOT,
        env=environment({}),
        stdout=asyncio.subprocess.DEVNULL,
    )

    assert await asyncio.wait_for(measuring.wait(), 90) == 0

    measured = orjson.loads(figures.read_bytes())
    assert measured["runs"] == 4
    assert {each["subject"] for each in measured["figures"]} == set(subjects)
