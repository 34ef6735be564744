"""Taking hints of one kind of run from the stream, as many as there is room for.

A request for as many as could begin stands open at the server, which serves those who ask in turn. What
arrives is acknowledged first and claimed then: if we die in between, somebody finds the run by looking.
What arrives when the last place has just been taken is given back, for somebody who has one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import orjson

from foundation.hints.port import Listener
from foundation.hints.stream import STREAM, consumer_of

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from foundation.hints.connection import Connection

__all__ = ["Pull", "Refused"]

NEXT: Final = "$JS.API.CONSUMER.MSG.NEXT"
# How long one request stands, and how much longer its end may take to reach us.
STANDS_S: Final = 5.0
GRACE_S: Final = 2.0
# Between two looks for room, and until a hint that was given back is handed out again.
LOOK_S: Final = 0.05
GIVEN_BACK_S: Final = 0.1
# How long a place may take to become free before we say there is none, and between two glances.
SOON_S: Final = 0.05
GLANCE_S: Final = 0.005
# What ends a request that nothing is wrong with: its time is over, or nothing is there.
HARMLESS: Final = frozenset({"404", "408"})


class Refused(Exception):
    """The server has ended a request, because there is nothing any more to request from."""


class Pull:
    def __init__(self, connection: Connection, listener: Listener, *, kind: str) -> None:
        self._connection = connection
        self._listener = listener
        self._subject = f"{NEXT}.{STREAM}.{consumer_of(kind)}"
        self._left = 0
        self._is_full_until_s = 0.0
        self._ended_by: str | None = None
        self._ended = asyncio.Event()

    async def take(self) -> None:
        """Take for ever.

        Raises:
            Refused: stream or consumer are gone.
        """
        inbox = self._connection.new_inbox()
        answers = await self._connection.subscribe(inbox, cb=self._arrived)
        try:
            while True:
                await self._request(inbox)
        finally:
            if not self._connection.is_closed:
                await answers.unsubscribe()

    async def _request(self, inbox: str) -> None:
        while self._listener.free <= 0:
            await asyncio.sleep(LOOK_S)
        self._left, self._ended_by = self._listener.free, None
        self._ended.clear()
        wanted = orjson.dumps({"batch": self._left, "expires": int(STANDS_S * 1_000_000_000)})
        await self._connection.publish(self._subject, wanted, reply=inbox)
        try:
            async with asyncio.timeout(STANDS_S + GRACE_S):
                await self._ended.wait()
        except TimeoutError:
            raise Refused("no answer") from None
        self._check()

    def _check(self) -> None:
        """Raises Refused."""
        if self._ended_by is not None and self._ended_by not in HARMLESS:
            raise Refused(self._ended_by)

    async def _arrived(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status is not None:
            self._ended_by = status
            self._ended.set()
            return
        self._left -= 1
        if self._left <= 0:
            self._ended.set()
        if await self._has_room():
            await message.ack()
            self._listener.work()
        else:
            await message.nak(GIVEN_BACK_S)

    async def _has_room(self) -> bool:
        """A claim under way holds all the places it could need, and most often gives some back."""
        time = asyncio.get_running_loop().time
        until_s = time() + SOON_S
        while self._listener.free <= 0:
            if time() < self._is_full_until_s:
                return False
            if time() > until_s:
                # The others that have arrived do not wait as long, one after another.
                self._is_full_until_s = time() + SOON_S
                return False
            await asyncio.sleep(GLANCE_S)
        return True
