"""A front door and a worker as processes on one NATS: with it, without it, and as it goes and comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
import pytest
from nats.aio.msg import Msg

from foundation.db import seed
from foundation.hints.stream import STREAM
from tests.support.audit import audit
from tests.support.database import MIGRATIONS, DatabaseServer, drop, fresh_database
from tests.support.nats import NatsServer, running_nats
from tests.support.process import ServerProcess, until
from tests.support.stage import ANSWER, Stage, Talk, open_stage

WITHIN_S = 30


@dataclass(frozen=True)
class House:
    """NATS runs before and after each test, and everybody hears."""

    stage: Stage
    nats: NatsServer
    door: ServerProcess
    worker: ServerProcess

    @property
    def all(self) -> list[ServerProcess]:
        return [self.door, self.worker]

    async def begin(self, name: str) -> Talk:
        (talk,) = await self.begin_all(name)
        return talk

    async def begin_all(self, *names: str) -> list[Talk]:
        talks = [Talk(name) for name in names]
        await self.stage.prepare(talks)
        for talk in talks:
            talk.run_id = await self.stage.submit(self.door, talk.name)
        return talks

    async def first_chunk(self, talk: Talk) -> None:
        """Read at the door until the run has said something."""
        async for message in self.door.messages(talk.run_id):
            talk.seen.append(message)
            if message["type"] == "chunk":
                return

    async def says(self, what: str) -> None:
        """Wait until readiness says that of NATS, everywhere."""

        async def do_all() -> bool:
            said = [await each.get("/health/readiness") for each in self.all]
            return all(what in each["checks"]["nats"] for each in said)

        await until(do_all, within_s=WITHIN_S)

    async def is_fine(self, talk: Talk) -> None:
        """The run has ended well, nothing of it is missing, and nothing is left over."""
        assert talk.seen[-1]["type"] == "done"
        assert talk.seen[-1]["response"].endswith(ANSWER)
        assert [message["seq"] for message in talk.seen] == list(range(1, len(talk.seen) + 1))
        assert await audit(self.stage.sql, await self.stage.calls()) == []


@asynccontextmanager
async def opened(stage: Stage, nats: NatsServer) -> AsyncIterator[House]:
    settings = {**stage.settings, "NATS_URL": nats.url, "ROLE": "web"}
    async with (
        ServerProcess.of(settings) as door,
        ServerProcess.of({**settings, "ROLE": "worker"}) as worker,
    ):
        yield House(stage, nats, door, worker)


@pytest.fixture(scope="module")
async def house(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """It starts without NATS, which comes later."""
    url = await fresh_database(database_server)
    await seed(url, file=MIGRATIONS.parent / "seed.sql")
    async with open_stage(url, tmp_path_factory.mktemp("house")) as stage, running_nats() as nats:
        nats.kill()
        async with opened(stage, nats) as opened_house:
            talk = await opened_house.begin("absent")
            await talk.follow(opened_house.door)
            await opened_house.is_fine(talk)
            await opened_house.says("does not answer")
            await nats.start()
            await opened_house.says("ok")
            yield opened_house
    await drop(database_server, url)


async def test_a_run_is_handed_to_the_worker_and_told_to_the_door(house: House) -> None:
    told: list[int] = []

    async def note(message: Msg) -> None:
        told.extend(row["seq"] for row in orjson.loads(message.data))

    async with house.nats.client() as listener:
        await listener.subscribe("switchyard.events.*", cb=note)
        await listener.flush()
        before = (await listener.jetstream().stream_info(STREAM)).state.last_seq
        talk = await house.begin("handed")
        await talk.follow(house.door)
        state = (await listener.jetstream().stream_info(STREAM)).state
        await listener.flush()

    await house.is_fine(talk)
    # It went through the stream, and is there no more; what the door read was told over NATS as well.
    assert state.last_seq > before
    assert state.messages == 0
    assert set(told) == {message["seq"] for message in talk.seen} - {1}


async def test_a_run_is_cancelled_through_the_door_that_does_not_execute_it(house: House) -> None:
    talk = await house.begin("ended")
    await house.first_chunk(talk)
    answer = await house.door.client.post(f"/api/runs/{talk.run_id}/cancel")
    await talk.follow(house.door)

    assert answer.status_code == 202
    assert (talk.seen[-1]["type"], talk.seen[-1]["code"]) == ("error", "cancelled")
    assert await audit(house.stage.sql, await house.stage.calls()) == []


async def test_a_nats_that_hangs_in_the_middle_and_then_dies_loses_nothing(house: House) -> None:
    talk = await house.begin("during")
    await house.first_chunk(talk)
    house.nats.hold()
    await talk.follow(house.door)
    await house.is_fine(talk)

    await house.says("does not answer")
    house.nats.kill()
    house.nats.forget()
    without, cancelled = await house.begin_all("without", "stopped")
    await house.first_chunk(cancelled)
    await house.door.client.post(f"/api/runs/{cancelled.run_id}/cancel")
    await asyncio.gather(without.follow(house.door), cancelled.follow(house.door))
    await house.is_fine(without)
    assert cancelled.seen[-1]["code"] == "cancelled"

    await house.nats.start()
    await house.says("ok")
    after = await house.begin("afterwards")
    await after.follow(house.door)
    await house.is_fine(after)
