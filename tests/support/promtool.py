"""`promtool` of the tests: the one that is installed, or else Debian's, fetched without being installed.

It needs no rights: `apt-get` is given folders of its own, because those of the machine may be empty or not
ours.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.kept import kept

__all__ = ["promtool", "run_promtool"]

PACKAGE = "prometheus"
PROGRAM = "promtool"


def promtool() -> Path:
    """The program, which checks rules and runs their tests."""
    if (found := shutil.which(PROGRAM)) is not None:
        return Path(found)
    assert shutil.which("apt-get"), "install promtool; Debian has it in its package `prometheus`"
    return kept("promtool-debian", _fetch) / PROGRAM


def run_promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What it said, whether it was content or not."""
    return subprocess.run([promtool(), *arguments], capture_output=True, text=True, check=False)


def _fetch(home: Path) -> None:
    apt = home / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial", "root"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    options = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",  # none of its own, which could not write here
        "Debug::NoLocking": "1",
    }
    command = ["apt-get", "--quiet", *(f"--option={name}={value}" for name, value in options.items())]
    for arguments in (["update"], ["download", PACKAGE]):
        _run([*command, *arguments], folder=apt)
    (package,) = apt.glob("*.deb")
    _run(["dpkg", "--extract", str(package), str(apt / "root")], folder=apt)
    (apt / "root" / "usr" / "bin" / PROGRAM).rename(home / PROGRAM)
    shutil.rmtree(apt)


def _run(command: list[str], *, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
    done.check_returncode()
