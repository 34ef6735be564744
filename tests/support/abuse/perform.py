"""Doing one case to a server, and saying how it took it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from itertools import pairwise

from tests.support.abuse.case import Case, Manner, Place, Way
from tests.support.bare import Bare, message, opening

__all__ = ["perform"]

# Beyond the 15 s that the head of a request may take.
LIMIT_S = 30.0
SWITCHING = 101
SMALL_BYTES = 4096
# A client that reads nothing stops sending when the server does not take anything for so long.
STUCK_S = 2.0


async def perform(case: Case, url: str, token: str) -> Way:
    """How it ended; `silence` if it did not."""
    buffer_bytes = SMALL_BYTES if case.manner is Manner.UNREAD else None
    async with Bare.connected(url, buffer_bytes=buffer_bytes) as bare:
        try:
            async with asyncio.timeout(LIMIT_S):
                return await _performed(case, bare, token)
        except TimeoutError:
            return "silence"


async def _performed(case: Case, bare: Bare, token: str) -> Way:
    if case.place is not Place.RAW:
        await _come_in(bare, token if case.place is Place.MEMBER else None)
    await _send(case, bare)
    if case.manner is Manner.RESET:
        bare.reset()
        return "left"
    if case.manner is Manner.HALF:
        bare.end_half()
    if case.place is Place.RAW and (status := await bare.status()) != SWITCHING:
        return status
    return await _outcome(case, bare, token)


async def _come_in(bare: Bare, token: str | None) -> None:
    await bare.say(opening(token=token))
    assert await bare.status() == SWITCHING
    if token is not None:
        welcome = await bare.hear()
        assert isinstance(welcome, dict), welcome
        assert welcome["type"] == "connected", welcome


async def _send(case: Case, bare: Bare) -> None:
    for part in case.sends:
        if isinstance(part, float):
            await asyncio.sleep(part)
        elif case.manner is Manner.UNREAD:
            await bare.say_unread(part, give_up_s=STUCK_S)
        else:
            for piece in _pieces(part, case.manner):
                await bare.say(piece)
                await asyncio.sleep(0)


def _pieces(sent: bytes, manner: Manner) -> Iterator[bytes]:
    match manner:
        case Manner.DRIP:
            yield from (sent[at : at + 1] for at in range(len(sent)))
        case Manner.PIECES:
            # The same places for the same bytes.
            places = random.Random(len(sent)).sample(range(len(sent) + 1), min(20, len(sent)))  # noqa: S311
            marks = sorted({0, len(sent), *places})
            yield from (sent[begin:end] for begin, end in pairwise(marks))
        case _:
            yield sent


async def _outcome(case: Case, bare: Bare, token: str) -> Way:
    if "open" in case.wants:
        # Whoever came in with the opening is welcomed already; both are understood.
        await bare.say(message("auth", token=token))
    while isinstance(heard := await bare.hear(), dict):
        if "open" in case.wants and heard["type"] == "connected":
            return "open"
    return heard
