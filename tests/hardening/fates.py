"""What befalls a run while its readers are cut off, whatever becomes of its replica."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from enum import Enum, auto
from http import HTTPStatus
from uuid import UUID

import httpx2

from tests.hardening.ground import Ground
from tests.hardening.insist import insist
from tests.support.tables import Tables, connected

__all__ = ["Fate", "befall"]

AT_AGE_S = (0.05, 0.5)
LOOK_S = 0.05
LOST_WITHIN_S = 30.0


class Fate(Enum):
    """
    FAILS: its agent fails by itself
    CANCELLED: somebody cancels it
    LOST: its lease ends, though its replica lives, and another claim begins it again
    """

    NONE = auto()
    FAILS = auto()
    CANCELLED = auto()
    LOST = auto()


async def befall(fate: Fate, run_id: str, *, ground: Ground, clients: Sequence[httpx2.AsyncClient]) -> None:
    """Return once it was cancelled, or claimed again; a run that has ended before that is left alone."""
    await asyncio.sleep(ground.dice.uniform(*AT_AGE_S))
    if fate is Fate.CANCELLED:
        answer, _ = await insist(clients, f"/api/runs/{run_id}/cancel")
        assert answer.status_code in {HTTPStatus.OK, HTTPStatus.ACCEPTED}, answer.text
    elif fate is Fate.LOST:
        await _lose(run_id, ground.url)


async def _lose(run_id: str, database_url: str) -> None:
    """End its lease again and again: a heartbeat may renew it before anybody has seen that it was over."""
    ends_at_s = time.monotonic() + LOST_WITHIN_S
    async with connected(database_url) as sql:
        while time.monotonic() < ends_at_s and await sql.fetchval(
            "select epoch = 1 and ended_at is null from switchyard.runs where id = $1", UUID(run_id)
        ):
            await Tables(sql).expire(run_id)
            await asyncio.sleep(LOOK_S)
