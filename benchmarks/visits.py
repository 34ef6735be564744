"""What people do to a server who come and go: each visit is one of them, drawn from a seed.

Some run agents and read to the end, some leave in the middle and come back to another server, some change
their mind, and some only try the handle of every door with whatever comes to hand.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from benchmarks.strangers import Stranger
from foundation.identity import issue_development_token
from foundation.settings import Settings

__all__ = ["Ground", "Visitors"]

AT_ONCE: Final = 32
VISIT_WITHIN_S: Final = 60.0
ENDS: Final = ("agent_execution_complete", "agent_execution_error")
CLOSING_S: Final = 2.0
SLOW_MS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Ground:
    urls: Sequence[str]
    settings: Settings
    users: Sequence[UUID]
    chat: UUID
    short: str


class Visitors:
    def __init__(self, ground: Ground, *, seed: int) -> None:
        self._ground = ground
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._stranger = Stranger(ground.urls, self._random)
        # Of each visit: by its name, or by "failed …".
        self.done: Counter[str] = Counter()

    async def come(self, *, pace: float, until_s: float) -> None:
        """`pace` visits a second until the monotonic clock says `until_s`; then see all of them off."""
        room = asyncio.Semaphore(AT_ONCE)
        kinds = (self._read, self._leave, self._talk, self._hang_up, self._cancel, self._key, self._newcomer)
        visits = (*kinds, *(self._read, self._talk), *(self._stranger.ask, self._stranger.babble) * 2)
        async with asyncio.TaskGroup() as tasks:
            while time.monotonic() < until_s:
                await room.acquire()
                visiting = tasks.create_task(self._visit(self._random.choice(visits)))
                visiting.add_done_callback(lambda _: room.release())
                await asyncio.sleep(self._random.expovariate(pace))

    async def _visit(self, visit: Callable[[], Awaitable[None]]) -> None:
        name = visit.__name__.strip("_")
        try:
            async with asyncio.timeout(VISIT_WITHIN_S):
                await visit()
        except Exception as error:
            self.done[f"failed to {name}: {type(error).__name__} {str(error)[:200]}"] += 1
        else:
            self.done[name] += 1

    def _client(self, token: str) -> httpx2.AsyncClient:
        """At one of the servers, with a connection of its own."""
        return httpx2.AsyncClient(
            base_url=self._random.choice(self._ground.urls),
            headers={"authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=30,
            verify=False,  # it is plain HTTP; to load certificates costs more than the visit
        )

    def _token(self, user: UUID | None = None) -> str:
        return issue_development_token(self._ground.settings, user or self._random.choice(self._ground.users))

    # Any: a body of the wire.
    def _body(self, *, pause_ms: int = 5, **more: object) -> dict[str, Any]:
        if not more and self._random.random() < 0.5:
            return {"agentId": str(self._ground.chat), "messages": [{"role": "user", "content": "Late?"}]}
        told = {"events": 6, "pause_ms": pause_ms, "is_journaled": True}
        return {
            "agentId": self._ground.short,
            "messages": [{"role": "user", "content": "Say."}],
            "input": told,
            **more,
        }

    async def _read(self) -> None:
        """A run, streamed to its end; then all that can be looked up about it."""
        async with self._client(self._token()) as client:
            run_id = await self._stream(client, self._body())
            for path in (f"/api/runs/{run_id}", f"/api/runs/{run_id}/receipt", "/api/runs", "/api/credits"):
                (await client.get(path)).raise_for_status()

    async def _leave(self) -> None:
        """A run whose reader goes in the middle, and comes back to another server."""
        token = self._token()
        body = self._body(pause_ms=200, metadata={"left": True})
        async with self._client(token) as client:
            run_id = await self._stream(client, body, messages=2)
        async with (
            self._client(token) as client,
            client.stream(
                "GET", f"/api/runs/{run_id}/events", headers={"accept": "text/event-stream"}
            ) as answer,
        ):
            answer.raise_for_status()
            await _messages(answer)

    async def _cancel(self) -> None:
        """A run that somebody thinks better of, through another server."""
        token = self._token()
        body = self._body(pause_ms=SLOW_MS, metadata={"cancelled": True})
        async with self._client(token) as client:
            answer = await client.post("/api/agent/execute", json=body, headers={"prefer": "respond-async"})
            run_id = answer.raise_for_status().json()["runId"]
        async with self._client(token) as client:
            (await client.post(f"/api/runs/{run_id}/cancel")).raise_for_status()

    async def _key(self) -> None:
        """A key of one's own: made, used, revoked, and tried once more."""
        async with self._client(self._token()) as client:
            made = (await client.post("/api/keys", json={"name": "soak"})).raise_for_status().json()
            url = str(client.base_url)
            async with httpx2.AsyncClient(
                base_url=url,
                headers={"x-api-key": made["key"]},
                trust_env=False,
                verify=False,
            ) as holder:
                (await holder.get("/api/credits")).raise_for_status()
                (await client.delete(f"/api/keys/{made['id']}")).raise_for_status()
                await holder.get("/api/credits")

    async def _newcomer(self) -> None:
        """Somebody whose token is good and who is unknown to the database."""
        async with self._client(self._token(uuid4())) as client:
            headers = {"idempotency-key": str(uuid4())}
            refused = await client.post("/api/agent/execute", json=self._body(), headers=headers)
            unknown = await client.get(f"/api/runs/{uuid4()}/events")
            (await client.get("/api/runs")).raise_for_status()
        if refused.status_code >= 500 or unknown.status_code != httpx2.codes.NOT_FOUND:
            raise RuntimeError(f"a newcomer was answered {refused.status_code}, {unknown.status_code}")

    async def _talk(self) -> None:
        """A run over a socket, heard to its end."""
        await self._converse(to_end=True)

    async def _hang_up(self) -> None:
        """The same, gone without a word in the middle."""
        await self._converse(to_end=False)

    async def _converse(self, *, to_end: bool) -> None:
        token = self._token()
        url = self._random.choice(self._ground.urls).replace("http", "ws", 1)
        protocols = [Subprotocol("switchyard.v1"), Subprotocol(f"jwt-{token}")]
        async with connect(
            f"{url}/ws", subprotocols=protocols, compression=None, proxy=None, close_timeout=CLOSING_S
        ) as socket:
            await socket.send(json.dumps({"type": "agent_execute", **self._body(pause_ms=100)}))
            await _hear(socket, messages=None if to_end else 3)
            if not to_end:
                socket.transport.abort()

    # Any: as `_body`.
    async def _stream(
        self, client: httpx2.AsyncClient, body: dict[str, Any], *, messages: int | None = None
    ) -> str:
        """The run's id."""
        async with client.stream("POST", "/api/agent/execute", json={**body, "stream": True}) as answer:
            answer.raise_for_status()
            await _messages(answer, most=messages)
            return answer.headers["location"].rpartition("/")[2]


async def _messages(answer: httpx2.Response, *, most: int | None = None) -> None:
    heard = 0
    async for line in answer.aiter_lines():
        heard += line.startswith("data:")
        if most is not None and heard >= most:
            return
    if heard == 0:
        raise RuntimeError("the stream was empty")


async def _hear(socket: ClientConnection, *, messages: int | None) -> None:
    heard = 0
    while messages is None or heard < messages:
        message = json.loads(await socket.recv())
        heard += 1
        if message["type"] == "error":
            raise RuntimeError(str(message)[:200])
        if message["type"] in ENDS:
            return
