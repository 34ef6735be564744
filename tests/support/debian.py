"""Files of Debian's packages for tests, fetched without being installed.

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


def unpacked(package: str) -> Path:
    """The folder that holds what `package` would put under `/`."""
    assert shutil.which("apt-get"), f"install `{package}` where there is no Debian"
    return kept(f"{package}-debian", lambda home: _fetch(package, home)) / "root"


def _fetch(package: str, home: Path) -> None:
    apt = home / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True)
    (home / "root").mkdir()
    (apt / "status").touch()
    options = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",  # none of its own, which could not write here
        "Debug::NoLocking": "1",
    }
    command = ["apt-get", "--quiet", *(f"--option={name}={value}" for name, value in options.items())]
    for arguments in (["update"], ["download", package]):
        _run([*command, *arguments], folder=apt)
    (found,) = apt.glob("*.deb")
    _run(["dpkg", "--extract", str(found), str(home / "root")], folder=apt)
    shutil.rmtree(apt)


def _run(command: list[str], *, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
    done.check_returncode()
