"""What a server holds: after its start, after a first chat and after a first forecast."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import httpx2
import psutil

from benchmarks.figures import Table
from benchmarks.server import ROOT, Served, Server, serving
from benchmarks.subjects.project import make_users
from foundation.db import seed
from foundation.identity import issue_development_token
from foundation.settings import Settings
from tests.support.model import ModelProcess
from tests.support.series import forecast_body

__all__ = ["QUANTITIES", "measure_memory", "measure_memory_in_use"]

# After the model client has been loaded beside the loop, which it is a second after the start.
REST_S: Final = 4.0
MEGABYTE: Final = 1024 * 1024
QUANTITIES: Final = ("resident, MB", "its own, MB", "with its share, MB", "its processes, MB")
CHAT: Final = {
    "agentId": "00000000-0000-4000-a000-000000000001",
    "messages": [{"role": "user", "content": "Say something."}],
}


async def measure_memory(table: Table, server: Server, *, rounds: int) -> None:
    """Each round is a process of its own."""
    for _ in range(rounds):
        async with serving(server) as served:
            await asyncio.sleep(REST_S)
            table.add(server.name, _held(served.process))


async def measure_memory_in_use(table: Table, server: Server, *, rounds: int) -> None:
    """The same for Switchyard, which then chats and forecasts.

    Args:
        server: with a running database; its demo data is added.
    """
    url = server.settings["DATABASE_URL"]
    await seed(url, file=ROOT / "supabase" / "seed.sql")
    users = await make_users(url)
    async with ModelProcess.running() as model:
        settings = {**server.settings, "OPENAI_BASE_URL": model.url, "OPENAI_API_KEY": "none"}
        for user in users[:rounds]:
            await _round(table, replace(server, settings=settings), user=user)


async def _round(table: Table, server: Server, *, user: UUID) -> None:
    async with serving(server) as served, _client(served, server.settings, user=user) as client:
        table.add(f"{server.name}, ready", _held(served.process))
        await asyncio.sleep(REST_S)
        table.add(f"{server.name}, at rest", _held(served.process))
        await _run(client, CHAT)
        table.add(f"{server.name}, after a chat", _held(served.process))
        await _run(client, forecast_body())
        table.add(f"{server.name}, after a forecast", _held(served.process))


# Any: a body of the wire.
async def _run(client: httpx2.AsyncClient, body: Mapping[str, Any]) -> None:
    answer = await client.post("/api/agent/execute", json=dict(body), headers={"Prefer": "wait=60"})
    if answer.status_code != httpx2.codes.OK:
        raise RuntimeError(f"the run was answered with {answer.status_code}: {answer.text[:500]}")


@asynccontextmanager
async def _client(
    served: Served, settings: Mapping[str, str], *, user: UUID
) -> AsyncIterator[httpx2.AsyncClient]:
    # The variables' names are aliases that the type does not know.
    token = issue_development_token(Settings(_env_file=None, **settings), user)  # type: ignore[arg-type]
    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(
        base_url=served.url, headers=headers, trust_env=False, timeout=90
    ) as client:
        yield client


def _held(process: psutil.Process) -> dict[str, float]:
    """In megabytes; of its processes what is their own."""
    held = process.memory_full_info()
    children = sum(child.memory_full_info().uss for child in process.children(recursive=True))
    figures = (held.rss, held.uss, held.pss, children)
    return {quantity: each / MEGABYTE for quantity, each in zip(QUANTITIES, figures, strict=True)}
