"""How many credit operations a second one process gets done, on one hot account and on many.

    python benchmarks/credits.py [--pairs N] [--rounds R] [--json FILE]

A pair is a hold and its settlement: two operations, each a transaction in a real Postgres. The backend's own
pool is compared with the same SQL functions called by hand, and with accounts that are only updated.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    from benchmarks.arguments import arguments

    parser = arguments(__doc__)
    parser.add_argument(
        "--pairs", type=int, default=1000, help="holds and settlements of one subject in one round"
    )
    told = parser.parse_args()

    from benchmarks.ledgers import measure

    asyncio.run(measure(pairs=told.pairs, rounds=told.rounds, json_file=told.json, only=told.only))


if __name__ == "__main__":
    # Run as a file, only the file's own folder is searched.
    sys.path.insert(0, str(ROOT))
    main()
