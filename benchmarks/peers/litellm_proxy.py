"""LiteLLM's proxy before one model, without a database: nothing is kept, and all share one key."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from litellm import run_server

from benchmarks.script import MODEL

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config.yaml")
        model = {"model": f"openai/{MODEL}", "api_base": os.environ["OPENAI_BASE_URL"], "api_key": "none"}
        # JSON is YAML.
        config.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": model}]}))
        run_server(
            [
                *("--host", "127.0.0.1", "--port", os.environ["PORT"]),
                *("--config", str(config), "--num_workers", "1"),
            ]
        )
