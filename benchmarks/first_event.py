"""How long it takes from asking for a run to the first event that the agent itself emits, for one client.

    python benchmarks/first_event.py [--runs N] [--rounds R] [--json FILE]

Over HTTP and over a WebSocket, with credits held in Postgres before; and over HTTP with a database that is a
few milliseconds away. Below it, what bare Starlette takes without a database, and with one statement before.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    from benchmarks.arguments import arguments

    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=200, help="runs of one subject in one round")
    told = parser.parse_args()

    import uvloop

    from benchmarks.latency import measure

    uvloop.run(measure(runs=told.runs, rounds=told.rounds, json_file=told.json, only=told.only))


if __name__ == "__main__":
    # Run as a file, only the file's own folder is searched.
    sys.path.insert(0, str(ROOT))
    main()
