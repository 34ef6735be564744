"""What a project is as a database, as far as two calls of its Data API see: `look` without a connection.

One attempt, and no waiting but for a token that was made too early; the reasons hold nothing of the key.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foundation.db.mapping import Meaning
from foundation.db.rest import Unsuccessful, ask, close_client, open_client
from foundation.db.sight import Trouble, Unseen

if TYPE_CHECKING:
    from supabase import AsyncClient

__all__ = ["Glance", "glance"]

EARLY_TRIES = 5
EARLY_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Glance:
    """
    Attributes:
        schema: the version of ours; None where it is missing, or PostgREST has not read it yet.
        latency_ms: of one call, there and back.
        offset_s: how far this machine's clock is before the database's; as exact as half the latency. None
            with `schema`.
    """

    schema: int | None
    latency_ms: float
    offset_s: float | None


async def glance(url: str, key: str, *, within_s: float) -> Glance:
    """Ask, and leave.

    Raises:
        Unseen: it cannot be looked at.
    """
    try:
        async with asyncio.timeout(within_s):
            client = await open_client(url, key, connections=1, answer_within_s=within_s)
            try:
                return await _glance_in_time(client)
            finally:
                await close_client(client)
    except Exception as error:
        raise _unseen(error) from error


async def _glance_in_time(client: AsyncClient) -> Glance:
    """From the beginning after each token that is early, so that no pause counts as latency."""
    for _ in range(EARLY_TRIES - 1):
        try:
            return await _glance(client)
        except Unsuccessful as error:
            if not error.is_early:
                raise
        await asyncio.sleep(EARLY_PAUSE_S)
    return await _glance(client)


async def _glance(client: AsyncClient) -> Glance:
    schema = await _schema(client)
    began_s, began_at_s = time.monotonic(), time.time()
    now_ms = None
    try:
        now_ms = (await ask(client, "switchyard_clock", {}))["now_ms"]
    except Unsuccessful as error:
        if error.meaning is not Meaning.MISSING:
            raise
    took_s = time.monotonic() - began_s
    offset_s = None if now_ms is None else began_at_s + took_s / 2 - now_ms / 1000
    return Glance(schema=schema, latency_ms=took_s * 1000, offset_s=offset_s)


async def _schema(client: AsyncClient) -> int | None:
    try:
        version: int = (await ask(client, "switchyard_schema_version", {}))["version"]
    except Unsuccessful as error:
        if error.meaning is not Meaning.MISSING:
            raise
        return None
    return version


def _unseen(error: Exception) -> Unseen:
    from httpx import TimeoutException, TransportError

    match error:
        case Unsuccessful():
            return Unseen(_of_answer(error), state=error.code)
        case TimeoutError() | TimeoutException():
            return Unseen(Trouble.TOO_SLOW)
        case TransportError():
            return Unseen(_of_network(error))
        case _:
            return Unseen(Trouble.OTHER)


def _of_answer(error: Unsuccessful) -> Trouble:
    if error.is_locked_out or error.is_early:
        return Trouble.BAD_LOGIN
    return Trouble.NO_DATABASE if not error.is_said else Trouble.OTHER


def _of_network(error: BaseException) -> Trouble:
    """By what it goes back to; the library says only that it could not connect."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return Trouble.UNKNOWN_HOST
        if isinstance(cause, ssl.SSLError):
            return Trouble.BAD_TLS
        cause = cause.__cause__ or cause.__context__
    return Trouble.NOBODY_THERE
