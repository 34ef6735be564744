"""Server-sent events as a client reads them: the JSON of each `data:` line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson

__all__ = ["sse_messages"]


# Any: a message of the wire.
async def sse_messages(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    """Messages in order; comments and other fields are passed over. Our server writes one line each."""
    async for line in lines:
        if line.startswith("data:"):
            message = orjson.loads(line.removeprefix("data:"))
            if isinstance(message, dict) and "type" in message:
                yield message
