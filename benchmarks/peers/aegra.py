"""Aegra, as `aegra serve` starts it: its application under uvicorn, with no sign-in."""

from __future__ import annotations

import os
import tempfile

import uvicorn

from benchmarks.peers.graphs import write_config

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AEGRA_CONFIG"] = str(write_config(folder))
        uvicorn.run(
            "aegra_api.main:app",
            host="127.0.0.1",
            port=int(os.environ["PORT"]),
            log_level="warning",
            access_log=False,
        )
