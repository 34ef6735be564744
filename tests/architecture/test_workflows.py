"""That the workflows are such that GitHub takes them, do nothing dangerous, and run what there is.

GitHub is not asked: the schemas come with check-jsonschema, and zizmor audits without the network.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.architecture.sources import ROOT

FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
EACH = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.name)

# A program of ours at the beginning of a command.
OURS = re.compile(r"^(?:scripts|\.ci)/\S+", re.MULTILINE)
PINNED = re.compile(r"[\w-]+/[\w./-]+@[0-9a-f]{40}")


def test_there_are_workflows_to_look_at() -> None:
    assert {file.name for file in WORKFLOWS} >= {"ci.yml", "security.yml", "deploy.yml"}


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.dependabot", [FOLDER / "dependabot.yml"]),
    ],
    ids=["workflows", "timeouts", "dependabot"],
)
def test_github_takes_them_and_every_job_has_a_limit(schema: str, files: list[Path]) -> None:
    # The schema of GitHub's knows no limit for a job that is another workflow, which has its own.
    told = run("check-jsonschema", "--builtin-schema", schema, *map(str, files))

    assert told.returncode == 0, told.stdout + told.stderr


def test_nothing_dangerous_is_in_them() -> None:
    told = run("zizmor", "--offline", "--no-progress", str(FOLDER))

    assert told.returncode == 0, told.stdout + told.stderr


@EACH
def test_what_is_used_from_elsewhere_is_pinned_to_a_commit(workflow: Path) -> None:
    used = [each["uses"] for job in jobs(workflow) for each in (job, *job.get("steps", [])) if "uses" in each]

    assert used
    assert [name for name in used if not name.startswith("./") and not PINNED.fullmatch(name)] == []


@EACH
def test_what_is_run_is_there_and_may_be_executed(workflow: Path) -> None:
    named = [name for script in scripts(workflow) for name in OURS.findall(script)]

    assert [name for name in named if not os.access(ROOT / name, os.X_OK)] == []


@EACH
def test_the_scripts_in_them_are_clean(workflow: Path) -> None:
    for script in scripts(workflow):
        # As GitHub runs them; an expression would be text put into a script, which zizmor refuses.
        told = run("shellcheck", "--shell=bash", "-", given=f"set -eo pipefail\n{script}")
        assert told.returncode == 0, told.stdout


def test_production_is_reached_after_the_checks_and_by_no_other_way() -> None:
    deploying = {
        (file.name, name)
        for file in WORKFLOWS
        for name, job in parsed(file)["jobs"].items()
        if "RAILWAY_TOKEN" in str(job)
    }
    job = parsed(FOLDER / "workflows" / "deploy.yml")["jobs"]["railway"]

    assert deploying == {("deploy.yml", "railway")}
    assert set(job["needs"]) == {"ci", "security"}
    assert job["environment"]["name"] == "production"


# Any: YAML has whatever shape its author gave it.
def parsed(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = YAML(typ="safe").load(file)
    return document


# Any: as above.
def jobs(file: Path) -> list[dict[str, Any]]:
    return list(parsed(file)["jobs"].values())


def scripts(file: Path) -> Iterator[str]:
    return (step["run"] for job in jobs(file) for step in job.get("steps", []) if "run" in step)


def run(program: str, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """A tool that was installed beside this Python."""
    command = [str(Path(sys.executable).parent / program), *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
