"""`python -m tests.support.model --port 0 --log FILE`: serve until killed; prints the port."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from tests.support.model.server import serve_model


async def main(port: int, log_file: Path | None) -> None:
    async with serve_model(port=port, log_file=log_file) as model:
        sys.stdout.write(f"{model.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path)
    told = parser.parse_args()
    asyncio.run(main(told.port, told.log))
