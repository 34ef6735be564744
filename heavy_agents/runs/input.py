"""A run's input on its way into the database and back; a large one travels as a blob."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from foundation.db import Database
from foundation.errors import Json
from heavy_agents.runs.lease import Lease

__all__ = ["MAX_ROW_BYTES", "load_input", "pack_input"]

MAX_ROW_BYTES = 256 * 1024


def pack_input(value: dict[str, Json]) -> str | None:
    """Base64 of the JSON when it is too large for the run's row; None when it fits."""
    encoded = orjson.dumps(value)
    if len(encoded) <= MAX_ROW_BYTES:
        return None
    return base64.b64encode(encoded).decode()


# Any: a claim as the database's JSON gives it.
async def load_input(db: Database, claim: Mapping[str, Any], lease: Lease) -> dict[str, Json]:
    """The input of a claimed run, wherever it is kept."""
    if claim["input"] is not None:
        stored: dict[str, Json] = claim["input"]
        return stored
    found = await lease.insist(
        lambda: db.call(
            "switchyard_blobs_read", run_id=UUID(claim["run_id"]), purpose="input", name="input.json"
        )
    )
    loaded: dict[str, Json] = await asyncio.to_thread(lambda: orjson.loads(base64.b64decode(found["base64"])))
    return loaded
