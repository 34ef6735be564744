"""`scripts/deploy`, with a stand-in for Railway's program: what it asks, and what it makes of the answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.process import ROOT, environment

# Answers a question about deployments with the next line of `answers`, and again with the last one.
STAND_IN = """#!/usr/bin/env bash
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
echo "$*" >>asked
if [[ "$1" == deployment ]]; then
  head -n 1 answers
  if (($(wc -l <answers) > 1)); then sed -i 1d answers; fi
fi
"""

LOOK = "deployment list --service web --limit 1 --json"
SEND = "up --detach --service web"


@dataclass(frozen=True)
class Railway:
    folder: Path

    def answer(self, *newest: tuple[str, str]) -> None:
        """What the newest deployment is, one question after another; none is an empty list."""
        lines = [json.dumps([{"id": id_, "status": status}] if id_ else []) for id_, status in newest]
        (self.folder / "answers").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def deploy(self, services: Sequence[str], **settings: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [str(ROOT / "scripts" / "deploy"), *services],
            env=environment({"PATH": path, "LOOK_EVERY_S": "0", **settings}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def railway(tmp_path: Path) -> Railway:
    program = tmp_path / "railway"
    program.write_text(STAND_IN, encoding="utf-8")
    program.chmod(0o755)
    return Railway(tmp_path)


def test_it_waits_until_the_deployment_of_its_own_is_live(railway: Railway) -> None:
    railway.answer(("old", "SUCCESS"), ("old", "SUCCESS"), ("ours", "BUILDING"), ("ours", "SUCCESS"))

    told = railway.deploy(["web"])

    assert told.returncode == 0, told.stderr
    assert railway.asked == [LOOK, SEND, LOOK, LOOK, LOOK]


def test_the_first_deployment_of_a_service_has_none_before_it(railway: Railway) -> None:
    railway.answer(("", ""), ("", ""), ("ours", "SUCCESS"))

    assert railway.deploy(["web"]).returncode == 0


@pytest.mark.parametrize("status", ["FAILED", "CRASHED", "REMOVED", "SKIPPED"])
def test_a_service_that_does_not_come_up_ends_it_before_the_next_is_touched(
    railway: Railway, status: str
) -> None:
    railway.answer(("old", "SUCCESS"), ("ours", "DEPLOYING"), ("ours", status))

    told = railway.deploy(["web", "worker"])

    assert told.returncode == 1
    assert f"ours is {status}" in told.stderr
    assert railway.asked == [LOOK, SEND, LOOK, LOOK]


def test_it_does_not_wait_for_ever(railway: Railway) -> None:
    railway.answer(("old", "SUCCESS"), ("ours", "BUILDING"))

    told = railway.deploy(["web"], LIVE_WITHIN_S="0", LOOK_EVERY_S="1")

    assert told.returncode == 1
    assert "not live after 0 s" in told.stderr


def test_services_are_named_by_whoever_calls_it(railway: Railway) -> None:
    told = railway.deploy([])

    assert told.returncode == 1
    assert "scripts/deploy web worker" in told.stderr
