"""Doors of servers that speak LangGraph's protocol: each run is asked for on a thread of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from uuid import uuid4

import orjson

from benchmarks.client import http_request
from benchmarks.doors import Ask, Door, Subject
from benchmarks.rivals import AEGRA, LANGGRAPH, Rival, installed
from benchmarks.server import Served, serving

__all__ = ["ThreadDoor", "rivals"]

# `langgraph dev` looks for runs once a second, so that a single one takes that long.
LANGGRAPH_SHARE = 0.1


@dataclass(slots=True)
class ThreadDoor(Door):
    """Nobody signs in and nothing is charged. Its own loops stand still while others are measured."""

    @property
    def has_sockets(self) -> bool:
        return False

    @contextmanager
    def awake(self) -> Iterator[None]:
        self.served.process.resume()
        try:
            yield
        finally:
            self.served.process.suspend()

    def request(self, ask: Ask) -> bytes:
        self.asked += 1
        body = {
            "assistant_id": "short",
            "input": ask.to_json(),
            "stream_mode": ["custom"],
            "if_not_exists": "create",
        }
        return http_request(orjson.dumps(body), {}, path=f"/threads/{uuid4()}/runs/stream")


def rivals(*, database_url: str) -> list[Subject]:
    """Those that are installed; `database_url` is an empty database, for one of them."""
    doors = {
        AEGRA.name: Subject(AEGRA.name, _door(AEGRA, DATABASE_URL=database_url)),
        LANGGRAPH.name: Subject(LANGGRAPH.name, _door(LANGGRAPH, share=LANGGRAPH_SHARE)),
    }
    return [doors[each.name] for each in installed((AEGRA, LANGGRAPH))]


@asynccontextmanager
async def _door(rival: Rival, *, share: float = 1.0, **settings: str) -> AsyncIterator[Door]:
    async with serving(rival.server(**settings)) as served:
        served.process.suspend()
        try:
            yield _thread_door(rival, served, share=share)
        finally:
            # Nobody ends who stands still.
            served.process.resume()


def _thread_door(rival: Rival, served: Served, *, share: float) -> ThreadDoor:
    return ThreadDoor(
        rival.name,
        served,
        users=(uuid4(),),
        agent_id=uuid4(),
        headers=lambda _: {},
        protocols=lambda _: (),
        database_url=None,
        accounts="",
        share=share,
    )
