"""Clients that hold a connection and hardly say anything, each in one of five ways, by the hundred.

lorises = await slow_clients(url, token, n=2000, seed=7, within_s=30)
"""

from __future__ import annotations

import asyncio
import random
import socket
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from tests.support.standing import Crowd, Standing, connect

__all__ = ["Loris", "Way", "slow_clients"]

OPENED_A_SECOND: Final = 400


class Way(Enum):
    """SILENCE says nothing; the others begin with a head or a body, and go on with a byte a second or not."""

    SILENCE = auto()
    HALF_A_HEAD = auto()
    SLOW_HEAD = auto()
    HALF_A_BODY = auto()
    SLOW_BODY = auto()


@dataclass
class Loris(Standing):
    way: Way


async def slow_clients(url: str, token: str, *, n: int, seed: int, within_s: float) -> list[Loris]:
    """Open them all, and watch until each has ended, or for `within_s` seconds after the last came."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    ways = list(Way)
    crowd: Crowd[Loris] = Crowd(_say)
    try:
        for number in range(n):
            way = ways[number % len(ways)] if number < len(ways) else dice.choice(ways)
            crowd.add(Loris(way), await connect(url, _begin(way, token)))
            await asyncio.sleep(1 / OPENED_A_SECOND)
        await crowd.until_gone(within_s=within_s)
    finally:
        await crowd.close()
    return crowd.members


def _say(loris: Loris, opened: socket.socket) -> None:
    if loris.way in {Way.SLOW_HEAD, Way.SLOW_BODY}:
        opened.send(b"x")


def _begin(way: Way, token: str) -> bytes:
    head = (
        f"POST /api/agent/execute HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100000\r\n"
    )
    match way:
        case Way.SILENCE:
            return b""
        case Way.HALF_A_HEAD | Way.SLOW_HEAD:
            return b"GET /api/agents HTTP/1.1\r\nHost: x\r\nX-Slow: "
        case Way.HALF_A_BODY | Way.SLOW_BODY:
            return f'{head}\r\n{{"agentId": "'.encode()
