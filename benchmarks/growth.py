"""What calls of the database cost when a million runs are stored, beside a database that has hardly any.

    python benchmarks/growth.py [--runs N] [--events N] [--queued N …] [--lives N] [--purge-s S] [--rounds R]

Every function that a run, its reader or its owner calls; then with long queues, after many short lives,
through the server's door, and beside a purge.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    from benchmarks.arguments import arguments

    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="runs in the full database")
    parser.add_argument("--events", type=int, default=10_000_000, help="events of all of them together")
    parser.add_argument("--users", type=int, default=10_000, help="users in both databases")
    parser.add_argument("--calls", type=int, default=30, help="calls of each function in a round")
    parser.add_argument("--queued", type=int, nargs="*", default=[10_000, 100_000], help="lengths of queues")
    parser.add_argument("--lives", type=int, default=100_000, help="runs that come and go, for the garbage")
    parser.add_argument("--purge-s", type=float, default=600, help="how long old runs are purged at most")
    told = parser.parse_args()

    from benchmarks.growing import Growth, measure
    from benchmarks.history import History

    history = History(told.users, told.runs, told.events, long_events=told.events // 100)
    growth = Growth(
        history,
        calls=told.calls,
        queued=tuple(told.queued),
        lives=told.lives,
        purge_s=told.purge_s,
        rounds=told.rounds,
    )
    asyncio.run(measure(growth, json_file=told.json))


if __name__ == "__main__":
    # Run as a file, only the file's own folder is searched.
    sys.path.insert(0, str(ROOT))
    main()
