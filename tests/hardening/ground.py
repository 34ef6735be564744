"""What a fault stands on: a fresh database, a scripted model with its log, replicas that may be killed."""

from __future__ import annotations

import random
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from uuid import UUID

from foundation.errors import Json
from foundation.identity import issue_development_token
from foundation.settings import Settings
from tests.hardening.fault import Mutation
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.model import Asked, ModelProcess, read_log
from tests.support.process import ServerProcess
from tests.support.tables import Connection, Tables, connected

__all__ = ["Ground", "open_ground"]

LAUNCH = ("-m", "tests.hardening.launch")
MODEL_KEY = "the-key-of-the-scripted-model"


@dataclass(frozen=True)
class Ground:
    """
    Attributes:
        folder: of this performance alone; replicas share its secret for tokens.
        n: how often the fault is to happen.
        settings: of every replica, unless it is given others.
    """

    server: DatabaseServer
    url: str
    sql: Connection
    model: ModelProcess
    model_log: Path
    folder: Path
    dice: random.Random
    n: int
    mutation: Mutation | None
    settings: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @cached_property
    def tables(self) -> Tables:
        return Tables(self.sql)

    @asynccontextmanager
    async def replica(self, *, log_file: Path | None = None, **settings: str) -> AsyncIterator[ServerProcess]:
        """A server on the database, with the guards that are left and the agents of `launch.py`.

        Args:
            log_file: what it writes; one of its own in `folder` if None.
        """
        patch = self.mutation.patch if self.mutation else ""
        log_file = log_file or self.folder / f"replica-{next(self._numbers)}.log"
        configured = {**self.settings, **settings}
        async with ServerProcess.of(
            configured, program=(*LAUNCH, patch or "-"), log_file=log_file
        ) as replica:
            yield replica

    def token(self, user: UUID) -> str:
        """A token every replica takes."""
        return issue_development_token(Settings(_env_file=None, DATA_DIR=self.folder), user)

    async def person(self, *, balance: int = 1_000_000, plan: str = "enterprise") -> UUID:
        """A user with an account."""
        return await self.tables.user(balance=balance, plan=plan)

    async def agent(
        self,
        owner: UUID,
        *,
        kind: str = "echo",
        price: dict[str, Json] | None = None,
        tools: list[Json] | None = None,
    ) -> UUID:
        """A published heavy agent; 1 credit a run unless `price` says otherwise."""
        agent: UUID = await self.sql.fetchval(
            "insert into public.agents (user_id, name, kind, is_heavy, is_published, price, tools)"
            " values ($1, $2, $2, true, true, $3, $4) returning id",
            owner,
            kind,
            price or {"flat": 1},
            tools or [],
        )
        return agent

    async def calls(self) -> list[Asked]:
        """What the model was asked, once nothing of it goes on."""
        await self.model.until(lambda calls: all(call.over is not None for call in calls), within_s=60)
        return read_log(self.model_log) if self.model_log.exists() else []


@asynccontextmanager
async def open_ground(
    server: DatabaseServer, *, n: int, seed: int, mutation: Mutation | None = None
) -> AsyncIterator[Ground]:
    url = await fresh_database(server)
    try:
        with tempfile.TemporaryDirectory(prefix="hardening-") as folder:
            log_file = Path(folder) / "calls.jsonl"
            async with ModelProcess.running(log_file=log_file) as model, connected(url) as sql:
                if mutation is not None and mutation.sql:
                    await sql.execute(mutation.sql)
                yield Ground(
                    server=server,
                    url=url,
                    sql=sql,
                    model=model,
                    model_log=log_file,
                    folder=Path(folder),
                    dice=random.Random(seed),  # noqa: S311 - no secret
                    n=n,
                    mutation=mutation,
                    settings=_settings(url, model, folder),
                )
    finally:
        await drop(server, url)


def _settings(url: str, model: ModelProcess, folder: str) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "DATA_DIR": folder,
        "OPENAI_API_KEY": MODEL_KEY,
        "OPENAI_BASE_URL": model.url,
        "REQUESTS_PER_MINUTE": "100000",
        "SOCKETS_PER_USER": "1000",
        "LOG_LEVEL": "error",
    }
