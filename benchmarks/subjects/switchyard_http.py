"""The same through the front door: runs asked over HTTP and followed as server-sent events.

The backend is a process of its own, started as its users start it; its CPU is what is measured, and this
process is only its clients.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import httpx2
import psutil

from benchmarks.measured import follow_orders, start
from benchmarks.script import QUESTION
from benchmarks.subjects.project import make_agent, make_users, settings
from foundation.identity import issue_development_token

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 30.0


async def main(model_url: str, database_url: str) -> None:
    users = await make_users(database_url)
    agent_id = await make_agent(database_url, users[0])
    with TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        variables = {
            "PORT": str(port),
            "HOST": "127.0.0.1",
            "DATA_DIR": folder,
            "DATABASE_URL": database_url,
            "OPENAI_BASE_URL": model_url,
            "OPENAI_API_KEY": "none",
        }
        configured = settings(database_url, model_url, DATA_DIR=folder)
        tokens = cycle([issue_development_token(configured, user) for user in users])
        async with _backend(variables) as (backend, client):
            await follow_orders(
                lambda: _run(client, agent_id, token=next(tokens)),
                libraries=("uvicorn", "fastapi"),
                cpu_s=lambda: sum(backend.cpu_times()[:2]),
            )


@asynccontextmanager
async def _backend(variables: dict[str, str]) -> AsyncIterator[tuple[psutil.Process, httpx2.AsyncClient]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "railway_server.py",
        cwd=ROOT,
        env=os.environ | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{variables['PORT']}"
        async with httpx2.AsyncClient(base_url=address, trust_env=False, timeout=60) as client:
            await _ready(client)
            yield psutil.Process(process.pid), client
    finally:
        process.terminate()
        await process.wait()


async def _ready(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            try:
                (await client.get("/health/ready")).raise_for_status()
            except httpx2.HTTPError:
                await asyncio.sleep(0.1)
            else:
                return


async def _run(client: httpx2.AsyncClient, agent_id: UUID, *, token: str) -> str:
    body = {
        "agentId": str(agent_id),
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": True,
    }
    headers = {"authorization": f"Bearer {token}"}
    last = ""
    async with client.stream("POST", "/api/agent/execute", json=body, headers=headers) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                last = line
    return str(json.loads(last.removeprefix("data: ")).get("response"))


if __name__ == "__main__":
    start(main(*sys.argv[1:]))
