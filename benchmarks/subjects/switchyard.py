"""The loop as it ships: the whole backend as its entry point builds it, asked through its rooms, not HTTP.

A run is submitted (a credit is held), executed with every step in the journal, followed to its end by one
reader, and settled; in a real Postgres, which is another process.
"""

from __future__ import annotations

import sys
from itertools import cycle
from uuid import UUID

import railway_server
from benchmarks.measured import follow_orders, start
from benchmarks.script import QUESTION
from benchmarks.subjects.project import make_agent, make_users, settings
from foundation.telemetry import configure
from heavy_agents.runs import Message, Order, Runs
from routing import Rooms


async def main(model_url: str, database_url: str) -> None:
    configured = settings(database_url, model_url)
    configure(configured.log_level, secrets=configured.secrets)
    backend = railway_server.build(configured)
    rooms: Rooms = backend.app.state.rooms
    users = await make_users(database_url)
    agent_id = await make_agent(database_url, users[0])
    askers = cycle(users)
    await backend.lifecycle.start()
    try:
        await follow_orders(
            lambda: _run(rooms.runs, Order(next(askers), agent_id, (Message("user", QUESTION),), {})),
            libraries=("openai", "httpx2", "asyncpg"),
        )
    finally:
        await backend.lifecycle.drain(within_s=5)
        await backend.lifecycle.stop()


async def _run(runs: Runs, order: Order) -> str:
    submitted = await runs.submit(order)
    run_id = UUID(submitted.run["run_id"])
    last: dict[str, object] = {}
    async for batch in runs.follow(order.user_id, run_id, after=0):
        last = dict(batch[-1].data)
    return str(last.get("response"))


if __name__ == "__main__":
    start(main(*sys.argv[1:]))
