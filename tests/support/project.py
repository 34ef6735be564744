"""A project that publishes signing keys, an authenticator that reads them, and a clock that ages them."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from foundation.errors import InvalidToken
from foundation.identity import Authenticator
from foundation.outbound import Outbound
from foundation.settings import Settings
from tests.support.tokens import Json, TokenForge, compact
from tests.support.web import Web, serve_web

__all__ = ["KEYS_PATH", "MAX_AGE_S", "USER", "Project", "publishing"]

USER = UUID("3d1f7c1a-6a52-4e2b-8f0b-7a5f3c9d2e10")
KEYS_PATH = "/auth/v1/.well-known/jwks.json"
MAX_AGE_S = 600


class MovedClock:
    """A clock that moves when told. It starts now, because the forge dates tokens with the wall clock."""

    def __init__(self) -> None:
        self._wall_s = time.time()
        self._monotonic_s = 1_000.0

    def move(self, seconds: float) -> None:
        """Only the monotonic clock: keys age by it, tokens do not."""
        self._monotonic_s += seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._wall_s, UTC)

    def monotonic(self) -> float:
        return self._monotonic_s


@dataclass(frozen=True)
class Project:
    web: Web
    forge: TokenForge
    clock: MovedClock
    authenticator: Authenticator

    def publish(self, keys: Json | None = None, *, max_age_s: int = MAX_AGE_S) -> None:
        document = json.dumps(keys or self.forge.jwks()).encode()
        self.web.reply(KEYS_PATH, document, headers={"cache-control": f"public, max-age={max_age_s}"})

    def fetches(self) -> int:
        return len(self.web.asked_for(KEYS_PATH))

    async def takes(self, token: str) -> bool:
        try:
            return (await self.authenticator.verify(token)).user_id == USER
        except InvalidToken:
            return False

    def invented(self, kid: str) -> str:
        """A good token of `USER`, apart from its key id."""
        header = {"alg": "ES256", "kid": kid}
        return compact(header, self.forge.claims(USER), self.forge.signer("ES256"))


@asynccontextmanager
async def publishing() -> AsyncIterator[Project]:
    """A project whose keys were not fetched yet."""
    async with serve_web() as web:
        outbound = Outbound()
        await outbound.start()
        settings = Settings(_env_file=None, DATABASE_URL="postgresql://db", SUPABASE_URL=web.url)
        clock = MovedClock()
        authenticator = Authenticator(settings, outbound=outbound, clock=clock)
        project = Project(web, TokenForge(issuer=settings.issuer), clock, authenticator)
        project.publish()
        yield project
        await authenticator.stop()
        await outbound.stop()
