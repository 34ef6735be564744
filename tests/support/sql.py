"""Our SQL functions as a test calls them: one method a function, what does not matter filled in.

They go through a `Database`, as the product's calls do; `Tables` beside it has a connection of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from foundation.db import Database, PoolDatabase
from foundation.errors import Json
from foundation.ids import new_run_id
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.tables import Connection, Tables, connected

__all__ = ["Claim", "Connection", "Sql", "chunks", "connected", "opened", "talking"]

# Any: a claim, a run, an account as the SQL functions give them; each test knows the shape it asks for.
Claim = dict[str, Any]

LEASE_S = 600.0  # so that no lease ends by itself during a test; `expire` ends one


@asynccontextmanager
async def talking(url: str, *, size: int = 10) -> AsyncIterator[Sql]:
    """`Sql` on a database and up to `size` connections."""
    pool = PoolDatabase(url, size=size, command_timeout_s=60)
    await pool.start()
    try:
        async with connected(url) as connection:
            yield Sql(pool, connection, url=url)
    finally:
        await pool.stop()


@asynccontextmanager
async def opened(server: DatabaseServer, *, size: int = 10) -> AsyncIterator[Sql]:
    """`Sql` on a fresh database; `wipe` makes it fresh again."""
    url = await fresh_database(server)
    try:
        async with talking(url, size=size) as sql:
            yield sql
    finally:
        await drop(server, url)


def chunks(first: int, *texts: str, step: str | None = None) -> list[Json]:
    """Chunk events numbered from `first`."""
    extra: dict[str, Json] = {} if step is None else {"step": step}
    return [
        {"seq": seq, "type": "chunk", "data": {"content": text, **extra}}
        for seq, text in enumerate(texts, first)
    ]


class Sql(Tables):
    def __init__(self, database: Database, connection: Connection, *, url: str = "") -> None:
        super().__init__(connection)
        self.database = database
        self.url = url

    # Any: here and below, the answer of the SQL function.
    async def call(self, function: str, **arguments: Json | UUID) -> Any:
        return await self.database.call(f"switchyard_{function}", **arguments)

    async def _ask(self, function: str, **arguments: Json | UUID) -> Claim:
        answer: Claim = await self.call(function, **arguments)
        return answer

    async def credits(self, user: UUID) -> Claim:
        return await self._ask("credits_get", user_id=user)

    async def money(self, user: UUID) -> tuple[int, int]:
        """Balance and held."""
        account = await self.credits(user)
        return account["balance"], account["held"]

    async def deduct(self, user: UUID, amount: int, *, key: str | None = None) -> Claim:
        answer: Claim = await self.database.call("deduct_credits", user_id=user, credits=amount, key=key)
        return answer

    async def hold(self, user: UUID, amount: int, key: str) -> Claim:
        return await self._ask("credits_hold", user_id=user, credits=amount, key=key)

    async def settle(self, user: UUID, key: str, amount: int | None) -> Claim:
        return await self._ask("credits_settle", user_id=user, key=key, credits=amount)

    async def unhold(self, user: UUID, key: str) -> Claim:
        return await self._ask("credits_release", user_id=user, key=key)

    async def expire_holds(self, *, after_s: float, limit: int = 100) -> Claim:
        """{released, more} of the holds of requests."""
        return await self._ask("credits_expire", after_s=after_s, limit=limit)

    async def route(self, user: UUID, agent: UUID) -> Claim:
        """{available, agent}: what decides where a request goes."""
        return await self._ask("agents_route", user_id=user, agent_id=agent)

    async def submit(
        self,
        user: UUID,
        *,
        run_id: UUID | None = None,
        key: str | None = None,
        body: str = "body",
        hold: int = 1,
        worker: str | None = None,
        token: UUID | None = None,
        is_seen: bool = False,
        **changes: Json | UUID,
    ) -> Claim:
        """The whole answer: {joined, run, claim}. `body` stands for its hash.

        With `is_seen` the agent is compared with its row.
        """
        arguments: dict[str, Json | UUID] = {
            "run_id": run_id or new_run_id(),
            "user_id": user,
            "agent_id": None,
            "agent": {"name": "a", "kind": "chat", "price": {"flat": 1}},
            "messages": [{"role": "user", "content": "hi"}],
            "input": {},
            "input_base64": None,
            "conversation_id": None,
            "metadata": {},
            "key": key,
            "body_hash": body,
            "credits_owner": "backend",
            "hold_credits": hold,
            "deadline_s": None,
            "queue_deadline_s": 3600,
            "worker": worker,
            "token": token or uuid4(),
            "lease_s": LEASE_S,
        }
        function = "runs_submit_seen" if is_seen else "runs_submit"
        return await self._ask(function, **(arguments | changes))

    # Any: here and in `running`, arguments of `submit`.
    async def queued(self, user: UUID, *, hold: int = 1, **changes: Any) -> UUID:
        """A run that waits."""
        return UUID((await self.submit(user, hold=hold, **changes))["run"]["run_id"])

    async def running(self, user: UUID, *, hold: int = 1, worker: str = "w1", **changes: Any) -> Claim:
        """A run that `worker` executes."""
        answer = await self.submit(user, hold=hold, worker=worker, **changes)
        claim: Claim = answer["claim"]
        return claim

    async def claim(
        self, worker: str = "w1", *, limit: int = 1, slots: int = 32, kinds: Sequence[str] = ("chat",)
    ) -> list[Claim]:
        claims: list[Claim] = await self.call(
            "runs_claim", worker=worker, kinds=list(kinds), limit=limit, slots=slots, lease_s=LEASE_S
        )
        return claims

    async def heartbeat(self, *claims: Mapping[str, Any], worker: str = "w1") -> Claim:
        return await self._ask(
            "runs_heartbeat",
            worker=worker,
            leases=[{"run_id": claim["run_id"], "token": claim["token"]} for claim in claims],
            lease_s=LEASE_S,
        )

    async def append(self, claim: Mapping[str, Any], events: list[Json]) -> list[str]:
        """The runs whose lease is lost."""
        entry: Json = {"run_id": claim["run_id"], "token": claim["token"], "events": events}
        lost: list[str] = (await self.call("events_append", batch=[entry]))["lost"]
        return lost

    async def save(
        self,
        claim: Mapping[str, Any],
        name: str,
        result: Json = None,
        *,
        accrued: int = 0,
        usage: Json = None,
        result_base64: str | None = None,
    ) -> bool:
        """Journal a step; False when the lease is lost."""
        answer = await self.call(
            "steps_save",
            run_id=claim["run_id"],
            token=claim["token"],
            name=name,
            result=result,
            result_base64=result_base64,
            usage=usage or {},
            accrued_credits=accrued,
            duration_ms=5,
        )
        return bool(answer["saved"])

    async def release(self, claim: Mapping[str, Any], events: list[Json] | None = None) -> bool:
        answer = await self.call(
            "runs_release",
            run_id=claim["run_id"],
            token=claim["token"],
            events=events or [],
            queue_deadline_s=3600,
        )
        return bool(answer["released"])

    async def finish(
        self,
        claim: Mapping[str, Any],
        status: str = "succeeded",
        *,
        charge: int | None = 1,
        events: list[Json] | None = None,
        response: str | None = "bye",
    ) -> Claim:
        """The whole answer: {finished, run?, event?}."""
        code = {"succeeded": None, "failed": "agent_error"}.get(status, "cancelled")
        return await self._ask(
            "runs_finish",
            run_id=claim["run_id"],
            token=claim["token"],
            status=status,
            code=code,
            error=None if status == "succeeded" else "why",
            response=response,
            output=None,
            usage={},
            charge_credits=charge,
            events=events or [],
        )

    async def cancel(self, user: UUID, run_id: UUID | str) -> Claim:
        return await self._ask("runs_cancel", user_id=user, run_id=run_id)

    async def reap(self, *, limit: int = 100) -> dict[str, str]:
        """Outcomes by run."""
        reaped = await self.call("runs_reap", limit=limit, queue_deadline_s=3600)
        return {row["run_id"]: row["outcome"] for row in reaped}

    async def read(
        self, user: UUID, run_id: UUID | str, *, after: int = 0, limit: int = 1000, bytes_: int = 1_000_000
    ) -> Claim:
        page: Claim = await self.call(
            "events_page", user_id=user, run_id=run_id, after=after, limit=limit, bytes=bytes_
        )
        return page

    async def audit(self) -> list[dict[str, str]]:
        broken: list[dict[str, str]] = await self.call("audit")
        return broken
