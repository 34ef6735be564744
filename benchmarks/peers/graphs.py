"""What `langgraph dev` and Aegra are told of the graphs they serve."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["write_config"]

GRAPH = Path(__file__).parent / "short_graph.py"


def write_config(folder: str) -> Path:
    config = Path(folder, "langgraph.json")
    config.write_text(json.dumps({"dependencies": ["."], "graphs": {"short": f"{GRAPH}:graph"}}))
    return config
