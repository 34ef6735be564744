"""What a streamed token costs the server, and how long it is under way from the model to the client.

    python benchmarks/tokens.py [--streams N] [--tokens N] [--rounds R] [--json FILE]

Many streams at once, each at the pace of a real model. Switchyard stores every token before it shows it; the
relays beside it keep nothing.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    from benchmarks.arguments import arguments

    parser = arguments(__doc__)
    parser.add_argument("--streams", type=int, default=100, help="streams at once")
    parser.add_argument("--pace", type=float, default=50, help="tokens a second of each")
    parser.add_argument("--tokens", type=int, default=450, help="tokens of each stream")
    told = parser.parse_args()

    from benchmarks.relayed import Load
    from benchmarks.relays import measure

    load = Load(told.streams, pace=told.pace, tokens=told.tokens)
    asyncio.run(measure(load, rounds=told.rounds, json_file=told.json, only=told.only))


if __name__ == "__main__":
    # Run as a file, only the file's own folder is searched.
    sys.path.insert(0, str(ROOT))
    main()
