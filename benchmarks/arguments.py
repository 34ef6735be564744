"""What every benchmark can be told on its command line; each adds what counts its own work."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["arguments"]


def arguments(says: str | None, *, rounds: int = 5) -> argparse.ArgumentParser:
    """A parser of `--rounds`, `--json` and `--only`.

    Args:
        says: the script's docstring, whose first line is the help's.
        rounds: unless something else is asked for.
    """
    parser = argparse.ArgumentParser(description=(says or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds; medians are reported")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--only", nargs="*", help="subjects by name, for work on one of them")
    return parser
