"""Whether a server that is used for hours holds what it held at first: memory, tasks, files, connections.

    python benchmarks/soak.py [--minutes M] [--pace N] [--servers N] [--seed S] [--json FILE]

Real servers on one database, and people who come and go in every way the doors have. What each server holds
is looked at every few seconds; a line is laid through the second half. Ends with 1 if anything grows.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30, help="how long")
    parser.add_argument("--pace", type=float, default=3, help="visits a second, to all servers together")
    parser.add_argument("--servers", type=int, default=2, help="processes on one database")
    parser.add_argument("--look-s", type=float, default=5, help="seconds between two looks at each")
    parser.add_argument("--seed", type=int, default=1, help="of what the visitors do")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    told = parser.parse_args()

    from benchmarks.soaking import Soak, measure

    soak = Soak(
        minutes=told.minutes, pace=told.pace, servers=told.servers, look_s=told.look_s, seed=told.seed
    )
    sys.exit(0 if asyncio.run(measure(soak, json_file=told.json)) else 1)


if __name__ == "__main__":
    # Run as a file, only the file's own folder is searched.
    sys.path.insert(0, str(ROOT))
    main()
