"""Three hundred abuses of a socket, frame by frame, on a server of its own: each ends as it should.

Written by hand, and filled up from a seed (`SWITCHYARD_ABUSES` is how many in all, `SWITCHYARD_SEED` where
they come from). The server must come out of it as it went in: nothing left behind, nothing alarming in
its log, and as good as ever for the next one.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

from tests.support.abuse import (
    Case,
    Place,
    Way,
    frame_cases,
    generated_cases,
    message_cases,
    opening_cases,
    perform,
)
from tests.support.counted import Counted, counted_server
from tests.support.process import until
from tests.support.series import forecast_body
from tests.support.sockets import opened

CASES = int(os.environ.get("SWITCHYARD_ABUSES", "300"))
SEED = int(os.environ.get("SWITCHYARD_SEED", "1125"))
AT_ONCE = 24
GROWN_MB = 48


def chosen(token: str) -> list[Case]:
    """The slow ones first, so that the others happen meanwhile."""
    written = [*opening_cases(token), *message_cases(), *frame_cases()]
    written.sort(key=lambda case: "nothing" not in case.name)
    return written + generated_cases(CASES - len(written), random.Random(SEED))  # noqa: S311 - no secret


async def do_all(cases: list[Case], server: Counted) -> list[tuple[Case, Way]]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def do(case: Case) -> tuple[Case, Way]:
        async with turns:
            return case, await perform(case, server.url, server.token)

    return await asyncio.gather(*(do(case) for case in cases))


async def check_works(server: Counted) -> None:
    """A fresh socket, and a run on it from its start to its end."""
    async with opened(server.url, query=f"?token={server.token}") as client:
        await client.hear("connected")
        await client.say("agent_execute", **forecast_body(points=60))
        told = await client.hear_to_end()
    assert told[-1]["type"] == "agent_execution_complete"
    assert [each["seq"] for each in told] == list(range(1, len(told) + 1))


async def test_no_abuse_of_a_socket_harms_the_server(demo_url: str, tmp_path: Path) -> None:
    async with counted_server(demo_url, tmp_path) as server:
        await check_works(server)
        await do_all(frame_cases()[:20], server)
        before = await server.settled()

        done = await do_all(chosen(server.token), server)

        places = Counter(case.place.name for case, _ in done)
        print(f"seed={SEED} cases={len(done)} places={dict(places)}")  # noqa: T201 - to repeat a failure
        wrong = [
            f"{case.name} ({case.place.name}) ended with {way}" for case, way in done if way not in case.wants
        ]
        assert "\n".join(wrong) == ""
        assert len(done) == CASES
        assert set(places) == {place.name for place in Place}
        await until(lambda: server.is_as(before), within_s=30)
        assert await server.metric("event_loop_lag_seconds_count") > 0
        assert (await server.memory_mb()) - before.memory_mb < GROWN_MB
        assert server.alarms() == []
        await check_works(server)
        assert await server.is_ready()
