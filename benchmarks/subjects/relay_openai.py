"""A relay as most are written: `openai` makes an object of each chunk, which is written again."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import uvicorn
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

model = AsyncOpenAI(base_url=os.environ["OPENAI_BASE_URL"], api_key="none")


async def ready(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ready"})


async def relay(request: Request) -> StreamingResponse:
    body = await request.json()

    async def parts() -> AsyncIterator[str]:
        async for chunk in await model.chat.completions.create(**body):
            yield f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(parts(), media_type="text/event-stream")


if __name__ == "__main__":
    uvicorn.run(
        Starlette(
            routes=[Route("/health/ready", ready), Route("/v1/chat/completions", relay, methods=["POST"])]
        ),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_level="warning",
    )
