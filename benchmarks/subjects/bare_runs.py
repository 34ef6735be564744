"""The floor of a run: Starlette under uvicorn streams events; with `DATABASE_URL` it also holds and settles.

Then a run is two statements, each a transaction of one round trip: the account is debited and the run
inserted before the first event, the events are inserted and the account settled before the last. No sign-in,
no limits, no ledger, no lease: the least that somebody could write by hand. Nothing is stored before it is
shown but the run itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

__all__ = ["TABLES"]

# As many as the backend's own pool.
CONNECTIONS = 10
TABLES = """
create table accounts (user_id uuid primary key, balance integer not null, held integer not null default 0);
create table runs (
  id bigint generated always as identity primary key, user_id uuid not null, asked jsonb not null,
  status text not null default 'running', created_at timestamptz not null default now(), ended_at timestamptz
);
create table events (run_id bigint, seq integer, data jsonb not null, primary key (run_id, seq));
"""
BEGIN = """
with held as (
  update accounts set held = held + 1 where user_id = $1 and balance - held >= 1 returning user_id
)
insert into runs (user_id, asked) select user_id, $2 from held returning id
"""
END = """
with run as (update runs set status = 'done', ended_at = now() where id = $1 returning user_id),
  said as (insert into events select $1, seq, data from unnest($2::jsonb[]) with ordinality as e (data, seq))
update accounts set balance = balance - 1, held = held - 1 where user_id = (select user_id from run)
"""

# Any: a body of the wire.
Body = dict[str, Any]


@dataclass(slots=True)
class Floor:
    """`pool` None: nothing is kept."""

    pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def run(self, user_id: str, body: Body) -> AsyncIterator[bytes]:
        """The messages of one run, as they come."""
        run_id = None
        if self.pool is not None:
            run_id = await self.pool.fetchval(BEGIN, UUID(user_id), orjson.dumps(body).decode())
            if run_id is None:
                raise RuntimeError("the account is empty")
        told, said = body["input"], list[bytes]()
        for number in range(told["events"]):
            message = {"type": "chunk", "seq": number + 1, "content": f"event {number}", "number": number}
            said.append(orjson.dumps(message))
            yield said[-1]
            if number == 0 and told["pause_ms"]:
                await asyncio.sleep(told["pause_ms"] / 1000)
        if self.pool is not None:
            await self.pool.execute(END, run_id, [each.decode() for each in said])
        yield orjson.dumps({"type": "done", "seq": len(said) + 1, "response": "said"})


def app() -> Starlette:
    floor = Floor()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        if (url := os.environ.get("DATABASE_URL")) is None:
            yield
            return
        # Without the round trip that sets a session back at every release.
        async with asyncpg.create_pool(
            url, min_size=CONNECTIONS, max_size=CONNECTIONS, reset=_keep
        ) as floor.pool:
            yield

    async def execute(request: Request) -> Response:
        body: Body = orjson.loads(await request.body())
        run = floor.run(request.headers["x-user-id"], body)
        return StreamingResponse(_framed(run), media_type="text/event-stream")

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept(websocket.headers.get("sec-websocket-protocol", "").split(",")[0] or None)
        try:
            while True:
                body: Body = orjson.loads(await websocket.receive_text())
                async for message in floor.run(websocket.query_params["user"], body):
                    await websocket.send_text(message.decode())
        except WebSocketDisconnect:
            return

    async def ready(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "ready"})

    routes = [
        Route("/health/ready", ready),
        Route("/api/agent/execute", execute, methods=["POST"]),
        WebSocketRoute("/ws", talk),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _keep(_connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """As the backend's own pool does."""


async def _framed(run: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    number = 0
    async for message in run:
        number += 1
        yield b"id: %d\ndata: %b\n\n" % (number, message)


if __name__ == "__main__":
    uvicorn.run(
        app(),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
    )
