"""How many short durable runs a second one server carries, and what each costs in CPU.

    python benchmarks/runs_per_second.py [--runs N] [--rounds R] [--json FILE]

16 clients in another process ask over HTTP for runs of 5 events without a model, each holding and settling
credits; below it, bare Starlette that streams as many events, without and with the least SQL of such a run.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    from benchmarks.arguments import arguments

    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="runs of one subject in one round")
    told = parser.parse_args()

    import uvloop

    from benchmarks.throughput import measure

    uvloop.run(measure(runs=told.runs, rounds=told.rounds, json_file=told.json, only=told.only))


if __name__ == "__main__":
    # Run as a file, only the file's own folder is searched.
    sys.path.insert(0, str(ROOT))
    main()
