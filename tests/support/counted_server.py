"""A server like any other, which also counts: at SIGUSR1 it writes how many tasks it has to `COUNT_FILE`.

A fault's server does so too where that is set.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from types import FrameType

import commands
import railway_server

__all__ = ["count_when_asked", "main"]


def main() -> None:
    count_when_asked()
    commands.main(railway_server.build)


def count_when_asked() -> None:
    signal.signal(signal.SIGUSR1, _write_tasks)


def _write_tasks(_signal: int, _frame: FrameType | None) -> None:
    tasks = [each for each in tuple(asyncio.tasks._all_tasks) if not each.done()]  # type: ignore[attr-defined]
    names = Counter(each.get_coro().__qualname__ for each in tasks)
    file = Path(os.environ["COUNT_FILE"])
    written = file.with_suffix(".new")
    written.write_text("\n".join(f"{count} {name}" for name, count in sorted(names.items())))
    written.replace(file)


if __name__ == "__main__":
    main()
