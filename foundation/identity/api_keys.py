"""Whose an API key is, and which keys a user has.

A good answer is remembered for `REMEMBERED_S`, so that long is a key revoked elsewhere still taken here; one
revoked through this process ends at once. A bad answer is never remembered. That a key is in use is noted
beside the requests, which neither wait for it nor fail with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import structlog

from foundation.clock import Clock
from foundation.db import Database
from foundation.errors import DatabaseUnavailable, HeavyError, InvalidToken, Json
from foundation.identity.api_key import fresh_key, hash_of, is_key, prefix_of
from foundation.identity.recent import Recent
from foundation.lifecycle import TaskOwner

__all__ = ["ApiKeys", "invalid_key"]

log = structlog.get_logger(__name__)

REMEMBERED_S: Final = 5.0
MOST_REMEMBERED: Final = 10_000
# Whoever guesses keys must not take every connection from those who have one.
LOOKUPS_AT_ONCE: Final = 4
TURN_WITHIN_S: Final = 5.0
MOST_UNNOTED: Final = 1_000

# Any: rows as the database's JSON gives them; their shapes stand at the SQL functions.
Row = dict[str, Any]


def invalid_key() -> InvalidToken:
    """One sentence, whether the key is malformed, unknown or revoked."""
    return InvalidToken("the API key is not valid; it is mistyped, unknown or revoked")


class ApiKeys:
    """A service. Every method that asks the database raises DatabaseUnavailable too."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._recent = Recent(most=MOST_REMEMBERED, lifetime_s=REMEMBERED_S)
        self._turns = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._tasks = TaskOwner("api_keys")
        self._unnoted: set[UUID] = set()
        self._noting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Nothing is loaded ahead."""

    async def drain(self) -> None:
        """Nothing to hand over."""

    async def stop(self) -> None:
        await self._tasks.stop()

    async def owner(self, key: str) -> UUID:
        """The user an offered key speaks for.

        Raises:
            InvalidToken: it is malformed, unknown or revoked; all three read the same.
        """
        if not is_key(key):
            raise invalid_key()
        key_hash = hash_of(key)
        user_id = self._remembered(key_hash) or await self._look_up(key_hash)
        if user_id is None:
            raise invalid_key()
        return user_id

    async def create(self, user_id: UUID, *, name: str) -> tuple[Row, str]:
        """What is kept of a new key, and the key itself, which nobody can ask for again.

        Raises:
            InvalidBody: the user has as many active keys as one may.
            InvalidRequest: there is no such user.
        """
        key = fresh_key()
        made: Row = await self._db.call(
            "switchyard_keys_create", user_id=user_id, name=name, hash=hash_of(key), prefix=prefix_of(key)
        )
        return made, key

    async def all_of(self, user_id: UUID) -> list[Row]:
        """The active ones first; the newest first."""
        found: list[Row] = await self._db.call("switchyard_keys_list", user_id=user_id)
        return found

    async def revoke(self, user_id: UUID, key_id: UUID) -> None:
        """End a key; safe to repeat.

        Raises:
            NotFound: the user has no such key.
        """
        await self._db.call("switchyard_keys_revoke", user_id=user_id, key_id=key_id)
        self._recent.clear(now_s=self._clock.monotonic())

    def _remembered(self, key_hash: str) -> UUID | None:
        return self._recent.get(key_hash, now_s=self._clock.monotonic())

    async def _look_up(self, key_hash: str) -> UUID | None:
        async with self._turn():
            # While this one waited, another may have found the same key.
            if (known := self._remembered(key_hash)) is not None:
                return known
            asked_s = self._clock.monotonic()
            found: Row | None = await self._db.call("switchyard_keys_find", hash=key_hash)
        if found is None:
            return None
        user_id = UUID(found["user_id"])
        self._recent.keep(key_hash, user_id, asked_s=asked_s)
        if found["is_touch_due"]:
            self._note_use(UUID(found["id"]))
        return user_id

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(TURN_WITHIN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise DatabaseUnavailable("the database is too busy to look up API keys; try again") from None
        try:
            yield
        finally:
            self._turns.release()

    def _note_use(self, key_id: UUID) -> None:
        """Have the use written down soon. Beyond `MOST_UNNOTED` it is left to the next look-up."""
        if len(self._unnoted) < MOST_UNNOTED:
            self._unnoted.add(key_id)
        if self._noting is None or self._noting.done():
            self._noting = self._tasks.spawn("note", self._note())

    async def _note(self) -> None:
        """One statement at a time for all keys that came into use during the last."""
        while self._unnoted:
            ids: list[Json] = [str(each) for each in sorted(self._unnoted)]
            self._unnoted.clear()
            try:
                await self._db.call("switchyard_keys_touch", ids=ids)
            except HeavyError as error:
                # The key is due still, so its next look-up tries again.
                log.warning("api_key_use_not_noted", code=error.code, keys=len(ids))
