"""The project's published keys, as fresh as they need to be.

States: nothing yet · fresh (until the document's `max-age`, 60 s to 1 h) · stale. One fetch at a time,
whoever asks; at most one a cooldown, so a storm of invented key ids costs one fetch. A fetch that fails
changes nothing: known keys go on verifying. While a stale set is fetched again, holders of a known key wait a
moment for the answer (the key may have been revoked) and then go on; holders of an unknown one wait for it.

Not promised: that a revoked key stops at once. It stops when the set is next fetched, at most a `max-age`
later as long as the project can be reached.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final

import structlog

from foundation.clock import Clock
from foundation.identity.errors import KeysUnavailable
from foundation.identity.keys import KeySetError, VerifyKey, read_key_set
from foundation.lifecycle import TaskOwner
from foundation.outbound import BlockedAddress, Fetched, Outbound, OutboundFailed

__all__ = ["Jwks", "lifetime_s"]

log = structlog.get_logger(__name__)

MAX_BYTES: Final = 256 * 1024
FETCH_S: Final = 5.0
PATIENCE_S: Final = 1.0
COOLDOWN_S: Final = 30.0
# As long as there are no keys at all nobody can sign in, so asking again is worth more.
FIRST_COOLDOWN_S: Final = 2.0
DEFAULT_LIFETIME_S: Final = 600
SHORTEST_S: Final = 60
LONGEST_S: Final = 3600
MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,9})\"?(?=$|[\s,;])", re.IGNORECASE)
OK: Final = 200


def lifetime_s(cache_control: str | None) -> int:
    """How long a document with this `Cache-Control` is taken for fresh."""
    found = MAX_AGE.search(cache_control or "")
    return min(max(int(found[1]), SHORTEST_S), LONGEST_S) if found else DEFAULT_LIFETIME_S


class Jwks:
    def __init__(
        self,
        url: str,
        *,
        outbound: Outbound,
        clock: Clock,
        tasks: TaskOwner,
        allow_private: bool = True,
        follows_redirects: bool = True,
        whose: str = "the project's",
    ) -> None:
        """
        Args:
            allow_private: the address is the operator's own, and may be one of a private network.
            whose: for the sentence that says they cannot be had.
        """
        self._allow_private = allow_private
        self._follows_redirects = follows_redirects
        self._whose = whose
        self._url = url
        self._outbound = outbound
        self._clock = clock
        self._tasks = tasks
        self._keys: Mapping[str, VerifyKey] | None = None
        self._fresh_until = 0.0
        self._asked_at: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> VerifyKey | None:
        """The key named `kid`; None when the project does not publish it.

        Raises:
            KeysUnavailable: it is unknown here, and the project could not be asked.
        """
        if self._keys is None or self._clock.monotonic() >= self._fresh_until:
            await self._refresh(patience_s=FETCH_S if self._known(kid) is None else PATIENCE_S)
        if self._known(kid) is None:
            await self._refresh(patience_s=FETCH_S)
        key = self._known(kid)
        if key is None and (self._keys is None or self._failed):
            raise KeysUnavailable(self._whose)
        return key

    async def warm(self) -> None:
        """Fetch ahead of the first request; a failure only means that the first request asks again."""
        await self._refresh(patience_s=FETCH_S)

    def _known(self, kid: str) -> VerifyKey | None:
        return None if self._keys is None else self._keys.get(kid)

    async def _refresh(self, *, patience_s: float) -> None:
        """Join the fetch under way, or begin one if the cooldown allows; return when it or patience ends."""
        if self._fetching is None or self._fetching.done():
            now = self._clock.monotonic()
            cooldown_s = FIRST_COOLDOWN_S if self._keys is None else COOLDOWN_S
            if self._asked_at is not None and now < self._asked_at + cooldown_s:
                return
            self._asked_at = now
            self._fetching = self._tasks.spawn("fetch", self._fetch())
        await asyncio.wait({self._fetching}, timeout=patience_s)

    async def _fetch(self) -> None:
        try:
            answer = await self._outbound.fetch(
                self._url,
                timeout_s=FETCH_S,
                max_bytes=MAX_BYTES,
                allow_private=self._allow_private,
                may_follow=None if self._follows_redirects else _nowhere,
            )
            keys = _read(answer)
        except (BlockedAddress, KeySetError, OutboundFailed) as error:
            self._failed = True
            log.warning("jwks_fetch_failed", reason=str(error), keys_known=len(self._keys or {}))
            return
        self._keys, self._failed = keys, False
        self._fresh_until = self._clock.monotonic() + lifetime_s(answer.headers.get("cache-control"))


def _nowhere(_url: str) -> bool:
    return False


def _read(answer: Fetched) -> dict[str, VerifyKey]:
    if answer.status != OK:
        raise KeySetError(f"the answer has status {answer.status}")
    return read_key_set(answer.body)
