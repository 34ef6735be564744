"""How figures are shown and kept: a table for people, JSON with all that is needed to judge them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Figure", "print_table", "write_figures", "write_json"]

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Figure:
    """Of one run, in milliseconds: medians over the rounds, and the least and the most CPU of a round."""

    load: str
    subject: str
    cpu_ms: float
    least_ms: float
    most_ms: float
    wall_ms: float


def print_table(title: str, figures: Sequence[Figure]) -> None:
    """In Markdown; the factor is against the first row."""
    print(f"\n| {title} | CPU a run, ms | least – most | times the first | wall a run, ms |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for each in figures:
        factor = each.cpu_ms / figures[0].cpu_ms
        spread = f"{each.least_ms:.1f} – {each.most_ms:.1f}"
        print(f"| {each.subject} | {each.cpu_ms:.1f} | {spread} | {factor:.2f} | {each.wall_ms:.1f} |")


def write_json(
    file: Path,
    figures: Sequence[Figure],
    *,
    versions: Mapping[str, Mapping[str, str]],
    runs: int,
    rounds: int,
) -> None:
    about = {"versions": versions, "runs": runs, "rounds": rounds}
    write_figures(file, [asdict(each) for each in figures], about=about)


def write_figures(
    file: Path, figures: Sequence[Mapping[str, object]], *, about: Mapping[str, object]
) -> None:
    """
    Args:
        about: what else is needed to judge them, beside the date, the commit and the machine.
    """
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": {"cores": os.cpu_count(), "processor": _processor(), "system": platform.release()},
        "python": platform.python_version(),
        **about,
        "figures": figures,
    }
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _commit() -> str:
    """With a plus when the tree has changes that are not in it."""
    described = ["git", "describe", "--always", "--abbrev=10", "--dirty=+"]
    found = subprocess.run(described, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
