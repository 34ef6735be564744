"""How long a server takes from its start to ready, what importing it costs, and what it holds at rest.

    python benchmarks/boot.py [--rounds R] [--json FILE]

Switchyard with a running database and with its embedded one, beside bare servers that answer nothing but
that they are ready; in one run, one after the other.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    from benchmarks.arguments import arguments

    told = arguments(__doc__, rounds=7).parse_args()

    from benchmarks.boots import measure

    asyncio.run(measure(rounds=told.rounds, json_file=told.json, only=told.only))


if __name__ == "__main__":
    # Run as a file, only the file's own folder is searched.
    sys.path.insert(0, str(ROOT))
    main()
