"""The floor of a server: Starlette under uvicorn, which answers that it is ready and nothing else."""

from __future__ import annotations

import os

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def ready(_request: Request) -> JSONResponse:
    return JSONResponse({"status": "ready"})


if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=[Route("/health/ready", ready)]),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        log_level="warning",
    )
