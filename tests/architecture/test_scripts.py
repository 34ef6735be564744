"""That what a person types is sound: it passes shellcheck, and stops at the first thing that fails."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, our_files

SHELLCHECK = Path(sys.executable).with_name("shellcheck")
FOLDERS = (ROOT / "scripts", ROOT / ".ci")
SCRIPTS = [
    path
    for path in our_files()
    if path.parent in FOLDERS and path.suffix in {"", ".sh"} and not path.name.startswith(".")
]

# Of whoever deploys, who has set nothing up.
ELSEWHERE = [path for path in our_files() if path.suffix == ".py" and path.is_relative_to(ROOT / "scripts")]
PYTHON_ELSEWHERE = (3, 9)


def test_there_are_scripts() -> None:
    typed = {"railway-setup.sh", "run", "setup", "start", "test", "verify-deployment.sh"}

    assert typed <= {path.name for path in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_passes_shellcheck(script: Path) -> None:
    found = subprocess.run([SHELLCHECK, script], capture_output=True, text=True, check=False)

    assert found.stdout + found.stderr == ""
    assert found.returncode == 0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_can_be_run_and_stops_where_something_fails(script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines()

    assert lines[0] == "#!/usr/bin/env bash"
    assert lines[1].startswith("# ")
    assert "set -euo pipefail" in lines
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize("name", ["verify-deployment.sh", "railway-setup.sh"])
def test_a_script_may_be_started_by_its_bare_name(name: str) -> None:
    told = subprocess.run(
        ["bash", name, "--help"], cwd=ROOT / "scripts", capture_output=True, text=True, check=False
    )

    assert told.stdout.startswith(f"usage: {name} "), told.stderr


@pytest.mark.parametrize("path", ELSEWHERE, ids=lambda path: path.name)
def test_python_of_scripts_needs_nothing_but_an_older_python(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=PYTHON_ELSEWHERE)

    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names | {"scripts"}
