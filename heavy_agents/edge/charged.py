"""Runs that their caller is charged for, where `CREDITS_OWNER` says so.

Held before a run is handed over, settled once it is accepted, released if it is refused. The hold's key is
made of the request's, `heavy:<n>:<key>`, so that a request that is sent again pays once: while the hold is
open, or was charged, the run is paid for. One that was released, because the run was refused, pays for
nothing; then the next n is held, for a key is never charged after it was released. A run that was made while
the backend charged pays for itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from foundation.errors import DatabaseUnavailable, HeavyError, InsufficientCredits, KeyConflict
from foundation.ids import new_token
from foundation.settings import CreditsOwner
from heavy_agents.credits import Price
from heavy_agents.edge.account import MAX_HOLDS, USED_UP, Account
from heavy_agents.runs import Order, Runs, Submission

__all__ = ["Charged"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Hold:
    """`is_ours`: this request has opened it, and may release it."""

    key: str
    is_ours: bool


class Charged:
    def __init__(self, runs: Runs, account: Account, *, credits_owner: CreditsOwner) -> None:
        self._runs = runs
        self._account = account
        self._is_callers = credits_owner is CreditsOwner.CALLER

    async def submit(self, order: Order, *, price: Price) -> Submission:
        """As `Runs.submit`, charged to the caller where callers are charged: all of the price's ceiling.

        Raises:
            InsufficientCredits, KeyConflict, DatabaseUnavailable: of the hold, too.
        """
        if not self._is_callers or price.ceiling < 1:
            return await self._runs.submit(order)
        key = order.idempotency_key or str(new_token())
        hold = await self._held(order, key=key, amount=price.ceiling)
        try:
            submission = await self._runs.submit(order)
        except DatabaseUnavailable:
            # It may have been accepted. If nobody asks again, the hold ends by its age.
            raise
        except HeavyError:
            await self._release(order, hold)
            raise
        if submission.pays_itself:
            await self._release(order, hold)
        else:
            await self._settle(order, hold, key=key, amount=price.ceiling)
        return submission

    async def _held(self, order: Order, *, key: str, amount: int) -> _Hold:
        """What the run is paid with."""
        for number in range(1, MAX_HOLDS + 1):
            name = f"heavy:{number}:{key}"
            held = await self._account.hold(order.user_id, key=name, amount=amount)
            if held.charged != 0:
                return _Hold(name, held.is_new)
        raise KeyConflict(USED_UP)

    async def _settle(self, order: Order, hold: _Hold, *, key: str, amount: int) -> None:
        """The run is accepted: what goes wrong here is told to nobody but the operator."""
        try:
            while not await self._account.settle(order.user_id, key=hold.key, amount=amount):
                # Another request with the key was refused meanwhile, and has released what it held for both.
                hold = await self._held(order, key=key, amount=amount)
        except (DatabaseUnavailable, InsufficientCredits, KeyConflict) as error:
            log.exception("run_not_charged", code=error.code)

    async def _release(self, order: Order, hold: _Hold) -> None:
        if not hold.is_ours:
            return
        try:
            await self._account.release(order.user_id, key=hold.key)
        except DatabaseUnavailable:
            log.warning("hold_left_open")
