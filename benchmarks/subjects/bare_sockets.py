"""The floor of a server of WebSockets: Starlette under uvicorn, which accepts them and holds them.

With `WORDS_A_SECOND` it tells all of them the moment, so often; with `COMPRESSION=0` it compresses nothing.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

present: set[WebSocket] = set()


async def ready(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ready"})


async def hold(websocket: WebSocket) -> None:
    await websocket.accept(next(iter(websocket.scope["subprotocols"]), None))
    present.add(websocket)
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.receive_text()
    present.discard(websocket)


async def speak(between_s: float) -> None:
    while True:
        await asyncio.sleep(between_s)
        word = f'{{"content":" {time.monotonic_ns():020d}"}}'
        for websocket in tuple(present):
            await websocket.send_text(word)


@asynccontextmanager
async def speaker(_app: Starlette) -> AsyncIterator[None]:
    words_a_second = float(os.environ.get("WORDS_A_SECOND", "0"))
    speaking = asyncio.create_task(speak(1 / words_a_second)) if words_a_second else None
    yield
    if speaking is not None:
        speaking.cancel()


if __name__ == "__main__":
    routes = [
        *(Route(path, ready) for path in ("/health/ready", "/health/liveness")),
        WebSocketRoute("/ws", hold),
    ]
    uvicorn.run(
        Starlette(routes=routes, lifespan=speaker),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_level="warning",
        ws_per_message_deflate=os.environ.get("COMPRESSION") != "0",
        timeout_graceful_shutdown=1,
    )
