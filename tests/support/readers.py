"""A client of one run whose connection breaks again and again, and who comes back over any transport."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import Enum, auto

import orjson

from tests.support.bare import PONG, Bare, frame, message, opening
from tests.support.cuts import Cut, How, When, draw, is_terminal
from tests.support.tails import PageTail, SocketTail, StreamTail, Tail

__all__ = ["Hit", "Reader", "Replica", "Transport"]

# A client that has fallen silent holds its connection for so long, while it is back on another one.
SILENT_S = 0.3
AWAY_S = 0.1
LIMIT_S = 90.0


class Transport(Enum):
    """AGAIN: the request that began the run, with the same key; it tells everything from the start."""

    AGAIN = auto()
    LAST_EVENT_ID = auto()
    AFTER = auto()
    SOCKET = auto()
    PAGE = auto()


@dataclass(eq=False)
class Replica:
    """One server, and a token of the user that it takes.

    Attributes:
        is_there: false from when it is killed until it is ready again.
        deaths: how often it was killed.
    """

    url: str
    token: str
    is_there: bool = True
    deaths: int = 0


@dataclass(frozen=True)
class Hit:
    """A cut that hit, and what had arrived of something that was not complete."""

    cut: Cut
    transport: Transport
    pending: bytes


@dataclass
class Reader:
    """
    body, key: of the request that began the run
    """

    run_id: str
    body: bytes
    key: str
    replicas: tuple[Replica, ...]
    dice: random.Random
    told: list[tuple[Transport, bytes]] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    visits: int = 0
    _silent: list[asyncio.Task[None]] = field(default_factory=list)
    _last: Replica | None = None
    _tail: Tail | None = None  # of this visit

    @property
    def after(self) -> int:
        """The number of the last event that is here as a whole."""
        return int(orjson.loads(self.told[-1][1])["seq"]) if self.told else 0

    @property
    def has_end(self) -> bool:
        return bool(self.told) and is_terminal(self.told[-1][1])

    def heard_from(self, replica: Replica) -> int:
        """How many events of this visit; none if it is to another."""
        return len(self._tail.told) if self._tail is not None and self._last is replica else 0

    async def read(self, *, cuts: int) -> None:
        """Come back until the end is here and the server has said that nothing comes after it.

        Args:
            cuts: how often the connection breaks at most.
        """
        async with asyncio.timeout(LIMIT_S):
            while not await self._visit_any(draw(self.dice) if len(self.hits) < cuts else None):
                pass
            await asyncio.gather(*self._silent)

    async def _visit_any(self, cut: Cut | None) -> bool:
        """Another replica each time; one that is not there is left alone for a moment.

        Raises:
            AssertionError: one that lives has refused the connection, or ended it too early.
        """
        others = [each for each in self.replicas if each is not self._last]
        self._last = replica = self.dice.choice(others or list(self.replicas))
        self._tail, self.visits = None, self.visits + 1
        was_there, deaths = replica.is_there, replica.deaths
        try:
            return await self._visit(replica, cut)
        except ConnectionError as error:
            if was_there and replica.deaths == deaths:
                raise AssertionError(f"a replica that lives: {error}") from error
            await asyncio.sleep(AWAY_S)
            return False

    async def _visit(self, replica: Replica, cut: Cut | None) -> bool:
        """Read until the cut or the end of this answer; whether there is nothing more to come."""
        transport = self._choose()
        async with AsyncExitStack() as stack:
            buffer_bytes = cut.buffer_bytes if cut else None
            bare = await stack.enter_async_context(Bare.connected(replica.url, buffer_bytes=buffer_bytes))
            tail, is_cut = _tail(transport), False
            self._tail = tail
            try:
                is_time = cut is not None and cut.when is When.TIME
                async with asyncio.timeout(cut.after if cut and is_time else None):
                    is_cut = await self._listen(bare, tail, _request(transport, replica, self), cut)
            except TimeoutError:
                is_cut = True
            numbers = [orjson.loads(each)["seq"] for each in tail.told]
            assert numbers == list(range(self.after + 1, self.after + 1 + len(numbers))), transport
            self.told += [(transport, each) for each in tail.told]
            if is_cut and cut is not None:
                self.hits.append(Hit(cut, transport, tail.pending))
                self._break(bare, cut.how, stack.pop_all())
                await asyncio.sleep(0)
                return False
            if not tail.is_over:
                raise ConnectionResetError(f"it has ended {transport.name} with {bare.ended}")
        return self.has_end

    def _choose(self) -> Transport:
        """Whoever has seen something of the run knows its number, and does not begin again."""
        return self.dice.choice([each for each in Transport if each is not Transport.AGAIN or not self.told])

    async def _listen(self, bare: Bare, tail: Tail, request: bytes, cut: Cut | None) -> bool:
        """Whether it was cut before the answer was over."""
        if cut is not None and cut.when is When.REQUEST:
            await bare.say(request[: int(cut.after)])
            return True
        await bare.say(request)
        fed_bytes, said = 0, 0
        while not tail.is_over:
            if cut is not None and cut.is_due(tail, fed_bytes=fed_bytes):
                return True
            if isinstance(tail, SocketTail):
                said = await self._talk(bare, tail, said)
            await bare.until(lambda: bool(bare.received) or bare.ended is not None)
            if not bare.received:
                return False
            fed_bytes += _feed(tail, bare, cut, fed_bytes=fed_bytes)
        return False

    async def _talk(self, bare: Bare, tail: SocketTail, said: int) -> int:
        """What a socket is told, one after the other: from where on, and at the end whether that is all."""
        while tail.pinged:
            await bare.say(frame(PONG, tail.pinged.pop()))
        has_end = self.has_end or (bool(tail.told) and is_terminal(tail.told[-1]))
        if said == 0 and tail.said:
            await bare.say(message("agent_resume", runId=self.run_id, after=self.after))
            return 1
        if said == 1 and len(tail.said) > 1 and has_end:
            await bare.say(message("ping"))
            return 2
        return said

    def _break(self, bare: Bare, how: How, stack: AsyncExitStack) -> None:
        async def leave() -> None:
            async with stack:
                if how is How.SILENCE:
                    bare.transport.pause_reading()
                    await asyncio.sleep(SILENT_S)
                if how is not How.CLOSE:
                    bare.reset()
                elif bare.ended is None:
                    bare.transport.close()
                    await bare.gone()

        self._silent.append(asyncio.create_task(leave()))


def _feed(tail: Tail, bare: Bare, cut: Cut | None, *, fed_bytes: int) -> int:
    """Take what has arrived, up to the place of the cut; how many bytes that was."""
    taken = 0
    while bare.received and not tail.is_over:
        size = len(bare.received) if cut is None else min(len(bare.received), cut.step_bytes)
        if cut is not None and cut.when in {When.HEAD, When.BYTES}:
            size = min(size, int(cut.after) - fed_bytes - taken)
        if size <= 0 or (cut is not None and cut.is_due(tail, fed_bytes=fed_bytes + taken)):
            break
        tail.feed(bytes(bare.received[:size]))
        del bare.received[:size]
        taken += size
    return taken


def _tail(transport: Transport) -> Tail:
    match transport:
        case Transport.SOCKET:
            return SocketTail()
        case Transport.PAGE:
            return PageTail()
        case Transport.AGAIN | Transport.AFTER | Transport.LAST_EVENT_ID:
            return StreamTail()


def _request(transport: Transport, replica: Replica, reader: Reader) -> bytes:
    after, query, accept, more = reader.after, "", "text/event-stream", ""
    match transport:
        case Transport.SOCKET:
            return opening(token=replica.token)
        case Transport.AGAIN:
            lines = f"Idempotency-Key: {reader.key}\r\nContent-Type: application/json\r\n"
            head = _head(
                "POST", "/api/agent/execute", replica, f"{lines}Content-Length: {len(reader.body)}\r\n"
            )
            return head + reader.body
        case Transport.AFTER:
            query = f"?after={after}"
        case Transport.LAST_EVENT_ID:
            # As a browser: the address it began with, and where it was.
            query, more = "?after=0", f"Last-Event-ID: {after}\r\n"
        case Transport.PAGE:
            query = f"?after={after}&wait=1&limit={reader.dice.choice([1, 3, 20, 200])}"
            accept = "application/json"
    return _head("GET", f"/api/runs/{reader.run_id}/events{query}", replica, f"Accept: {accept}\r\n{more}")


def _head(method: str, path: str, replica: Replica, lines: str) -> bytes:
    token = f"Authorization: Bearer {replica.token}"
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{token}\r\n{lines}\r\n".encode()
