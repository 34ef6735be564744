"""`promtool` of the tests: the one that is installed, or else Debian's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.debian import unpacked

__all__ = ["promtool", "run_promtool"]

PROGRAM = "promtool"


def promtool() -> Path:
    """The program, which checks rules and runs their tests."""
    if (found := shutil.which(PROGRAM)) is not None:
        return Path(found)
    return unpacked("prometheus") / "usr" / "bin" / PROGRAM


def run_promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What it said, whether it was content or not."""
    return subprocess.run([promtool(), *arguments], capture_output=True, text=True, check=False)
