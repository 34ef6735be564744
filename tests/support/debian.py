"""Programs and libraries out of Debian's packages, fetched without being installed.

It needs no rights: `apt-get` is given folders of its own, because those of the machine may be empty or not
ours.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.kept import kept

__all__ = ["unpacked"]


def unpacked(package: str, *beside: str) -> Path:
    """A folder in which the packages lie as below `/`; what else they depend on does not. Fetched once."""
    assert shutil.which("apt-get"), f"install `{package}` where there is no Debian"
    return kept(f"debian-{package}", lambda home: _fetch(home, (package, *beside)))


def _fetch(home: Path, packages: tuple[str, ...]) -> None:
    apt = home / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial"):
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
    for arguments in (["update"], ["download", *packages]):
        _run([*command, *arguments], folder=apt)
    for package in apt.glob("*.deb"):
        _run(["dpkg", "--extract", str(package), str(home)], folder=apt)
    shutil.rmtree(apt)


def _run(command: list[str], *, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
    done.check_returncode()
