"""Holds of requests, by their key: what is held is settled or released, once. Amounts are whole credits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from foundation.db import Database
from foundation.errors import DatabaseUnavailable, Json
from foundation.telemetry import Metrics

__all__ = ["MAX_HOLDS", "USED_UP", "Account", "Held"]

TRIES: Final = 3
RETRY_S: Final = 0.5
# What was released pays for nothing again, so a key that is tried again holds under another name; so often.
MAX_HOLDS: Final = 20
USED_UP: Final = "this Idempotency-Key was used too often without success; use a new one"


@dataclass(frozen=True, slots=True)
class Held:
    """`is_new`: nobody had held under this key. `charged`: None while the hold is open, else how it ended."""

    is_new: bool
    charged: int | None


class Account:
    def __init__(self, db: Database, *, metrics: Metrics) -> None:
        self._db = db
        self._metrics = metrics

    async def hold(self, user_id: UUID, *, key: str, amount: int) -> Held:
        """
        Raises:
            InsufficientCredits: the account cannot cover them.
            KeyConflict: the key held another number of credits.
            DatabaseUnavailable: whether they are held is unknown; if they are, `Expiry` ends it.
        """
        answer = await self._db.call("switchyard_credits_hold", user_id=user_id, credits=amount, key=key)
        return Held(answer["is_new"], answer["charged"])

    async def settle(self, user_id: UUID, *, key: str, amount: int) -> int:
        """End a hold with a charge; what it was charged, now or when it was ended before.

        Raises:
            DatabaseUnavailable: whether it was charged is unknown.
        """
        answer = await self._call("switchyard_credits_settle", user_id=user_id, key=key, credits=amount)
        charged: int = answer["charged"]
        self._metrics.credits_total.labels(outcome="settled").inc(charged)
        return charged

    async def settle_answer(
        self, user_id: UUID, *, key: str, amount: int, agent_id: UUID, usage: dict[str, Json]
    ) -> int:
        """As `settle`, and noted as what the agent was used for."""
        answer = await self._call(
            "switchyard_answers_settle",
            user_id=user_id,
            key=key,
            credits=amount,
            agent_id=agent_id,
            usage=usage,
        )
        charged: int = answer["charged"]
        self._metrics.credits_total.labels(outcome="settled").inc(charged)
        return charged

    async def release(self, user_id: UUID, *, key: str) -> int:
        """End a hold without a charge; what it was charged if it was ended before. Raises as `settle`."""
        answer = await self._call("switchyard_credits_release", user_id=user_id, key=key)
        charged: int = answer["charged"]
        return charged

    # Any: an account as the database's JSON gives it.
    async def _call(self, function: str, **arguments: Json | UUID) -> dict[str, Any]:
        """Safe to repeat: a hold ends once."""
        for tried in range(1, TRIES):
            try:
                answer: dict[str, Any] = await self._db.call(function, **arguments)
            except DatabaseUnavailable:
                await asyncio.sleep(RETRY_S * tried)
            else:
                return answer
        last: dict[str, Any] = await self._db.call(function, **arguments)
        return last
