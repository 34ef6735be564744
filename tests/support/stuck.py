"""Readers that do not read: streams and sockets by the hundred that take nothing, or one byte a second.

    fates = await stuck_readers(places, never=500, trickle=100, seed=7, within_s=60)

Each asks for a whole run and leaves what comes where it is, in the system's buffers. Half of them read a
stream, half a socket, and the system keeps little for one and much for another, as `seed` draws. The runs
must say more than all buffers between hold (4 MB is plenty), or nobody can tell that they are not read.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tests.support.bare import message, opening
from tests.support.standing import Crowd, Standing, connect

__all__ = ["Fate", "Place", "stuck_readers"]

Transport = Literal["sse", "ws"]

# How many come in a second: what is tried is how they stay, not how they come. The first is not cut off
# before the last of 600 is there.
OPENED_A_SECOND: Final = 60
BUFFERS: Final = (4096, 65_536, None)


@dataclass(frozen=True)
class Place:
    """A run that one may read with `token` at `url`."""

    url: str
    token: str
    run_id: str


@dataclass
class Fate(Standing):
    """What became of one reader.

    Attributes:
        buffer_bytes: what the system was told to keep for it; None for as much as it likes.
    """

    transport: Transport
    trickles: bool
    buffer_bytes: int | None


async def stuck_readers(
    places: Sequence[Place], *, never: int, trickle: int, seed: int, within_s: float
) -> list[Fate]:
    """Open them all, and watch until each has ended, or for `within_s` seconds after the last came.

    Args:
        never: how many take nothing.
        trickle: how many take one byte a second.
    """
    dice = random.Random(seed)  # noqa: S311 - no secret
    paces = [False] * never + [True] * trickle
    dice.shuffle(paces)
    crowd: Crowd[Fate] = Crowd(_take)
    try:
        for number, trickles in enumerate(paces):
            place = dice.choice(places)
            transport: Transport = "ws" if number % 2 else "sse"
            buffer_bytes = dice.choice(BUFFERS)
            opened = await connect(place.url, _request(place, transport), buffer_bytes=buffer_bytes)
            crowd.add(Fate(transport, trickles, buffer_bytes), opened)
            await asyncio.sleep(1 / OPENED_A_SECOND)
        await crowd.until_gone(within_s=within_s)
    finally:
        await crowd.close()
    return crowd.members


def _take(fate: Fate, opened: socket.socket) -> None:
    if fate.trickles:
        opened.recv(1)


def _request(place: Place, transport: Transport) -> bytes:
    if transport == "ws":
        # In one packet: nobody waits for the answer to the opening.
        return opening(token=place.token) + message("agent_resume", runId=place.run_id, after=0)
    lines = (
        f"GET /api/runs/{place.run_id}/events HTTP/1.1",
        "Host: x",
        "Accept: text/event-stream",
        f"Authorization: Bearer {place.token}",
    )
    return "\r\n".join([*lines, "", ""]).encode()
