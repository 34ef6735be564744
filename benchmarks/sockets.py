"""What an idle WebSocket holds, and how long one event is under way to a thousand watchers.

    python benchmarks/sockets.py [--sockets N …] [--watchers N] [--rounds R] [--json FILE]

All sockets are in one process and signed in; the floor is bare Starlette, with uvicorn's compression and
without.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    from benchmarks.arguments import arguments

    parser = arguments(__doc__)
    parser.add_argument("--sockets", type=int, nargs="*", default=[2000, 9500], help="idle sockets, growing")
    parser.add_argument("--watchers", type=int, default=1000, help="watchers of one run")
    parser.add_argument("--pace", type=float, default=5, help="events a second of that run")
    parser.add_argument("--events", type=int, default=80, help="events of that run")
    told = parser.parse_args()

    from benchmarks.crowds import Load, measure

    load = Load(sorted(told.sockets), watchers=told.watchers, pace=told.pace, events=told.events)
    asyncio.run(measure(load, rounds=told.rounds, json_file=told.json, only=told.only))


if __name__ == "__main__":
    # Run as a file, only the file's own folder is searched.
    sys.path.insert(0, str(ROOT))
    main()
