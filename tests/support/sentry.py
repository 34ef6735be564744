"""A Sentry for tests: a real web server that keeps the envelopes it is sent, and reads their events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from tests.support.web import Web, serve_web

__all__ = ["DSN_KEY", "Sentry", "serve_sentry"]

PATH = "/api/1/envelope/"
DSN_KEY = "0123456789abcdef0123456789abcdef"

# Any: an event's JSON, whose shape each test knows.
Event = dict[str, Any]


class Sentry:
    def __init__(self, web: Web) -> None:
        self.web = web
        self.dsn = web.url.replace("://", f"://{DSN_KEY}@") + "/1"
        web.reply(PATH, b"{}")

    @property
    def bodies(self) -> bytes:
        """All that has arrived, as it was sent."""
        return b"".join(asked.body for asked in self.web.asked_for(PATH))

    @property
    def events(self) -> list[Event]:
        """An envelope is a line about itself, a line about its item, and the item."""
        return [orjson.loads(asked.body.splitlines()[2]) for asked in self.web.asked_for(PATH)]

    def of(self, name: str) -> list[Event]:
        return [event for event in self.events if event["logentry"]["message"] == name]

    async def until_told(self, name: str, *, within_s: float = 30.0) -> Event:
        """The first event of this name, once there is one."""
        async with asyncio.timeout(within_s):
            while not (told := self.of(name)):
                await asyncio.sleep(0.01)
        return told[0]


@asynccontextmanager
async def serve_sentry() -> AsyncIterator[Sentry]:
    async with serve_web() as web:
        yield Sentry(web)
