"""What one run of the agent loop costs in CPU: two calls of a model, one tool, 100 streamed tokens.

    python benchmarks/agent_loop.py [--runs N] [--at-once N] [--rounds R] [--json FILE]

Every subject is a process of its own, does the same work against the same scripted model server, and is
measured by the CPU its process has used: Switchyard with a durable journal, events and credits in a real
Postgres; loops written by hand that keep nothing; and peers, where they are installed (`peers/README.md`).
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    from benchmarks.arguments import arguments

    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=64, help="runs of one subject in one round")
    parser.add_argument("--at-once", type=int, default=16, help="runs at once under load")
    told = parser.parse_args()

    from benchmarks.compare import Amount, compare

    amount = Amount(told.runs, rounds=told.rounds, at_once=told.at_once)
    asyncio.run(compare(amount, json_file=told.json, only=told.only))


if __name__ == "__main__":
    # Run as a file, only the file's own folder is searched.
    sys.path.insert(0, str(ROOT))
    main()
