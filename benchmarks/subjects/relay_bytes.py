"""The floor of a relay: the model's bytes as they come, through `httpx2` and Starlette; nothing is kept."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route


@asynccontextmanager
async def client(app: Starlette) -> AsyncIterator[None]:
    limits = httpx2.Limits(max_connections=1000)
    async with httpx2.AsyncClient(
        base_url=os.environ["OPENAI_BASE_URL"], limits=limits, trust_env=False, timeout=60
    ) as app.state.client:
        yield


async def ready(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ready"})


async def relay(request: Request) -> StreamingResponse:
    body = await request.body()

    async def parts() -> AsyncIterator[bytes]:
        async with request.app.state.client.stream("POST", "/chat/completions", content=body) as answer:
            async for part in answer.aiter_raw():
                yield part

    return StreamingResponse(parts(), media_type="text/event-stream")


if __name__ == "__main__":
    uvicorn.run(
        Starlette(
            routes=[Route("/health/ready", ready), Route("/v1/chat/completions", relay, methods=["POST"])],
            lifespan=client,
        ),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_level="warning",
    )
