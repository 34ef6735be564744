"""Programs the tests fetch, each made once and kept in a folder of its own under `.switchyard/tools`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

__all__ = ["kept"]

TOOLS = Path(__file__).parents[2] / ".switchyard" / "tools"


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of this name, which `make` has filled; it is given another path, and moved afterwards.

    All or nothing: what was cut short is left under another name, and the faster of two wins.
    """
    home = TOOLS / name
    if home.exists():
        return home
    TOOLS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLS, ignore_cleanup_errors=True) as folder:
        unfinished = Path(folder, "it")
        make(unfinished)
        try:
            unfinished.rename(home)
        except OSError:
            assert home.exists()
    return home
