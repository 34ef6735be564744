"""The table of `docs/reliability.md` from the lines that performances have printed.

    python -m tests.hardening all --full | tee figures.jsonl
    python -m tests.hardening.table figures.jsonl

The last line of a fault counts. What the lines do not name are figures of the fault's own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from tests.hardening.catalogue import FAULTS
from tests.hardening.fault import Fault

__all__ = ["COLUMNS", "rows"]

COLUMNS = ("fault", "promise", "N", "hits", "violations", "measured", "when", "again")
NAMED = {"name", "n", "seed", "hits", "violations", "took_s", "date", "commit", "violated"}

# Any: what a performance has printed.
Line = dict[str, Any]


def rows(lines: list[Line]) -> list[str]:
    """One row a fault that was performed as it is, in the order of the catalogue."""
    newest = {line["name"]: line for line in lines if "mutation" not in line}
    return [_row(newest[fault.name], fault) for fault in FAULTS if fault.name in newest]


def _row(line: Line, fault: Fault) -> str:
    measured = ", ".join(f"{name} {value}" for name, value in line.items() if name not in NAMED)
    again = f"`python -m tests.hardening {line['name']} --n {line['n']} --seed {line['seed']}`"
    cells = (
        f"`{line['name']}`",
        fault.promise,
        f"{line['n']:,}" if line["n"] >= fault.full_n else f"{line['n']:,} of {fault.full_n:,}",
        f"{line['hits']:,}",
        str(line["violations"]),
        measured,
        f"{line['date']}, `{line['commit']}`",
        again,
    )
    return f"| {' | '.join(cells)} |"


def _main() -> None:
    lines = [
        orjson.loads(text)
        for file in sys.argv[1:]
        for text in Path(file).read_text().splitlines()
        if text.startswith("{")
    ]
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")  # noqa: T201
    print("\n".join(rows(lines)))  # noqa: T201


if __name__ == "__main__":
    _main()
