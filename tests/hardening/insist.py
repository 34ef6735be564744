"""A client that asks again until it is answered, under the key that makes this safe."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx2

__all__ = ["PAUSE_S", "insist"]

PAUSE_S = 0.05
WITHIN_S = 90.0
LATER = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})


# Any: a body of the wire.
async def insist(
    clients: Sequence[httpx2.AsyncClient], path: str, *, body: dict[str, Any] | None = None, **headers: str
) -> tuple[httpx2.Response, int]:
    """The answer of the first server that gives one, asked in turn; and how often there was none.

    Args:
        headers: with `_` for `-`.
    """
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    unanswered = 0
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                answer = await clients[unanswered % len(clients)].post(path, json=body, headers=named)
            except httpx2.TransportError:
                pass
            else:
                if answer.status_code not in LATER:
                    return answer, unanswered
            unanswered += 1
            await asyncio.sleep(PAUSE_S)
