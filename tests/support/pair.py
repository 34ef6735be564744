"""Two backends, each with a database of its own, of which one forwards runs to the other.

    near   what clients ask: it holds the agents, the users and their credits
    far    what executes the runs: it trusts the other, and has the model

Each is a real process behind a front with TLS; before the far one lies a network that can fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from foundation.errors import Json
from tests.support.certificate import certificate_for
from tests.support.forwarding import as_pem, fresh_key
from tests.support.front import Front, fronting
from tests.support.model import ModelProcess, Rule
from tests.support.process import DEMO_USER, ServerProcess, free_port, until
from tests.support.relay import Relay, relaying
from tests.support.tables import Connection, connected

__all__ = ["NEAR_SECRET", "PRICE", "Pair", "Side", "paired", "words"]

NEAR_SECRET = "the-secret-of-the-near-backend-0123456789"
FAR_SECRET = "the-secret-of-the-far-backend-0123456789"
CREDITS = 10_000
PRICE: dict[str, Json] = {"flat": 2, "per_1k_tokens": 100, "ceiling": 60}
PATIENCE_S = 20


@dataclass
class Side:
    """One backend: killed and started again on what outlives it."""

    settings: dict[str, str]
    sql: Connection
    front: Front
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _server: ServerProcess | None = None

    @property
    def server(self) -> ServerProcess:
        assert self._server is not None
        return self._server

    async def start(self) -> None:
        self._server = await self._stack.enter_async_context(ServerProcess.of(self.settings))

    async def kill(self) -> None:
        """SIGKILL; nothing listens there afterwards."""
        await self.server.kill()

    async def close(self) -> None:
        await self._stack.aclose()

    async def audit(self) -> list[str]:
        found = await self.sql.fetchval("select public.switchyard_audit()")
        return [f"{row['rule']}: {row['subject']}" for row in found]

    async def until_quiet(self) -> None:
        """Return once no run is waiting or executed."""

        async def is_quiet() -> bool:
            query = "select count(*) from switchyard.runs where status in ('queued', 'running')"
            return bool(await self.sql.fetchval(query) == 0)

        await until(is_quiet, within_s=60)


@dataclass(frozen=True)
class Pair:
    near: Side
    far: Side
    relay: Relay
    model: ModelProcess

    async def agent(self, *, url: str | None = None, is_heavy: bool = True, **row: Json) -> str:
        """A chat agent of the near side's user, whose backend is the far one unless `url` says otherwise."""
        columns: dict[str, Any] = {
            "user_id": DEMO_USER,
            "name": "Traveller",
            "kind": "chat",
            "is_heavy": is_heavy,
            "price": PRICE,
            "system_prompt": "You answer at length.",
            "railway_url": self.far.front.url if url is None else url,
            **row,
        }
        places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
        made: UUID = await self.near.sql.fetchval(
            f"insert into public.agents ({', '.join(columns)}) values ({places}) returning id",  # noqa: S608
            *columns.values(),
        )
        return str(made)

    async def begin(self, agent_id: str, question: str) -> str:
        turns = [{"role": "user", "content": question}]
        return await self.near.server.submit({"agentId": agent_id, "messages": turns})

    async def seen(self, run_id: str, *, after: int = 0) -> list[dict[str, Any]]:
        return [message async for message in self.near.server.messages(run_id, after=after)]

    async def far_run(self) -> UUID:
        """The newest run there."""
        found: UUID = await self.far.sql.fetchval("select id from switchyard.runs order by id desc limit 1")
        return found

    async def log(self, side: Side, run_id: UUID | str) -> list[tuple[str, str, str]]:
        """What a run has said, in its order: type, step and text."""
        rows = await side.sql.fetch(
            "select type, data from switchyard.events where run_id = $1 order by seq", UUID(str(run_id))
        )
        return [
            (row["type"], str(row["data"].get("step")), str(row["data"].get("content", ""))) for row in rows
        ]


def words(name: str, count: int, *, between_s: float = 0.02) -> Rule:
    """What the model answers to a question with this name: so many words, one at a time."""
    text = " ".join(f"{name}{number}" for number in range(count))
    return {
        "when": {"role": "user", "contains": name},
        "reply": {"text": text, "before_first_s": 0.1, "between_s": between_s},
    }


@asynccontextmanager
async def paired(near_url: str, far_url: str, folder: Path) -> AsyncIterator[Pair]:
    """
    Args:
        near_url: a database with the demo's data.
    """
    async with AsyncExitStack() as stack:
        certificate, key = certificate_for("localhost", folder, address="127.0.0.1")
        near_port, far_port = free_port(), free_port()
        relay = await stack.enter_async_context(relaying(far_port))
        near_front = await stack.enter_async_context(fronting(near_port, certificate=certificate, key=key))
        far_front = await stack.enter_async_context(fronting(relay.port, certificate=certificate, key=key))
        model = await stack.enter_async_context(ModelProcess.running())
        both = {
            "EXTRA_CA_FILE": str(certificate),
            "OPENAI_API_KEY": "the-key-of-the-scripted-model",
            "OPENAI_BASE_URL": model.url,
            "LOG_LEVEL": "error",
            "REQUESTS_PER_MINUTE": "100000",
        }
        near = Side(
            {
                **both,
                "DATABASE_URL": near_url,
                "DATA_DIR": str(folder / "near"),
                "PORT": str(near_port),
                "PUBLIC_URL": near_front.url,
                "ALLOWED_BACKENDS": far_front.url,
                "PRIVATE_BACKENDS": far_front.url,
                "FORWARDING_KEY": as_pem(fresh_key()),
                "RAILWAY_BACKEND_SECRET": NEAR_SECRET,
                "BACKEND_PATIENCE_SECONDS": str(PATIENCE_S),
            },
            await stack.enter_async_context(connected(near_url)),
            near_front,
        )
        far = Side(
            {
                **both,
                "DATABASE_URL": far_url,
                "DATA_DIR": str(folder / "far"),
                "PORT": str(far_port),
                "PUBLIC_URL": far_front.url,
                "TRUSTED_BACKENDS": near_front.url,
                "PRIVATE_BACKENDS": near_front.url,
                "RAILWAY_BACKEND_SECRET": FAR_SECRET,
                # Whatever is said here, whoever forwards a run has charged for it.
                "CREDITS_OWNER": "backend",
            },
            await stack.enter_async_context(connected(far_url)),
            far_front,
        )
        await near.sql.execute(
            "update public.credit_balances set credits_remaining = $1, plan_type = 'enterprise'", CREDITS
        )
        for side in (near, far):
            stack.push_async_callback(side.close)
        await asyncio.gather(near.start(), far.start())
        yield Pair(near, far, relay, model)
