"""`langgraph dev` without its reloader and browser; it keeps all in memory, and on disk when it ends."""

from __future__ import annotations

import os
import tempfile

from langgraph_cli.cli import cli

from benchmarks.peers.graphs import write_config

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        # It leaves what it kept where it was started.
        os.chdir(folder)
        cli(
            [
                "dev",
                *("--host", "127.0.0.1", "--port", os.environ["PORT"]),
                *("--config", str(write_config(folder))),
                *("--no-reload", "--no-browser"),
            ]
        )
