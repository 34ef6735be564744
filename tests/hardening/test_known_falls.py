"""What comparable systems have fallen over, and what here would show it.

Most are faults of the runner or tests of their own; those that are named must exist. The others are below.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from tests.hardening.catalogue import FAULTS
from tests.support.bare import Bare, message, opening
from tests.support.process import ServerProcess
from tests.support.raw import request_head
from tests.support.server import Person, running_server

TESTS = Path(__file__).parents[1]
STREAMS, POOL = 20, 2
# One takes 27 kB; where this has fallen, it was half a megabyte.
SOCKETS, MOST_BYTES_A_SOCKET = 300, 100_000

# What has fallen, and the faults and tests that would show it here.
SHOWN_BY: Mapping[str, tuple[str, ...]] = {
    "a client that left paid nothing": ("disconnect-billing",),
    "two requests were covered by the same credits": ("overdraft",),
    "settled twice after a lost acknowledgement": ("ack-loss",),
    "one key made two runs": ("idempotency", "pg-restart"),
    "a sequence began again with a second reader": ("resume",),
    "a run was stranded by a restart": (
        "kill9",
        "rescue",
        "faults/test_lost_servers.py"
        "::test_a_run_whose_server_is_killed_while_it_computes_ends_once_after_a_new_start",
    ),
    "a stale worker went on writing": ("zombie",),
    "SIGTERM was worse than SIGKILL": (
        "sigterm",
        "faults/test_chat_kills.py"
        "::test_runs_of_a_server_told_to_go_are_taken_up_elsewhere_and_lose_no_attempt",
    ),
    "control frames moved the cursor": (
        "unit/test_routing_wire.py::test_what_is_no_event_does_not_move_the_readers_place",
        "properties/test_projections.py::test_no_name_that_would_be_taken_for_something_else_is_free",
    ),
}


@pytest.mark.parametrize("fall", SHOWN_BY)
def test_what_would_show_a_known_fall_exists(fall: str) -> None:
    for name in SHOWN_BY[fall]:
        file, _, test = name.partition("::")
        assert (
            f"def {test}(" in (TESTS / file).read_text() if test else name in {each.name for each in FAULTS}
        )


async def test_open_streams_hold_no_database_session(database_url: str) -> None:
    async with (
        running_server(database_url, database_pool=POOL, sockets_per_user=STREAMS) as server,
        server.person() as person,
        AsyncExitStack() as stack,
    ):
        sessions = "select count(*) from pg_stat_activity where datname = current_database()"
        run_id = await person.started({"gate": "open"})
        before = await server.sql.fetchval(sessions)
        for number in range(STREAMS):
            bare = await stack.enter_async_context(Bare.connected(server.url))
            await (_watch if number % 2 else _stream)(bare, person, run_id)

        await asyncio.gather(*(person.client.get("/api/credits") for _ in range(STREAMS)))

        after = await server.sql.fetchval(sessions)
        server.echo.gates["open"].set()
        # The pool may have opened what it is allowed to meanwhile, however many read.
        assert after <= before + POOL


async def test_many_sockets_take_little_memory(demo_url: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": demo_url, "DATA_DIR": str(tmp_path), "SOCKETS_PER_USER": "1000"}
    async with (
        ServerProcess.running(**settings, REQUESTS_PER_MINUTE="100000") as server,
        AsyncExitStack() as stack,
    ):
        process = psutil.Process(server.process.pid)
        # What the first ones bring in stays, however many there are.
        await _come_in(stack, server, sockets=SOCKETS // 10)
        before_bytes = process.memory_full_info().uss

        await _come_in(stack, server, sockets=SOCKETS)

        grown_bytes = process.memory_full_info().uss - before_bytes
        assert grown_bytes / SOCKETS < MOST_BYTES_A_SOCKET


async def _come_in(stack: AsyncExitStack, server: ServerProcess, *, sockets: int) -> None:
    url = str(server.client.base_url)
    token = server.client.headers["authorization"].removeprefix("Bearer ")
    for _ in range(sockets):
        bare = await stack.enter_async_context(Bare.connected(url))
        await bare.say(opening(token=token))
        async with asyncio.timeout(20):
            assert await bare.status() == 101
            await bare.until(lambda bare=bare: b"connected" in bare.received)  # type: ignore[misc]


async def _stream(bare: Bare, person: Person, run_id: str) -> None:
    headers = [("authorization", f"Bearer {person.token}"), ("accept", "text/event-stream")]
    await bare.say(request_head("GET", f"/api/runs/{run_id}/events", headers))
    await bare.until(lambda: b"started" in bare.received)


async def _watch(bare: Bare, person: Person, run_id: str) -> None:
    await bare.say(opening(token=person.token))
    assert await bare.status() == 101
    await bare.say(message("agent_resume", runId=run_id))
    await bare.until(lambda: b"agent_execution_started" in bare.received)
