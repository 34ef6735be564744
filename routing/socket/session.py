"""What a signed-in client says on its socket, and what is done about it, one message after another."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from foundation.errors import (
    ConflictingCredentials,
    Gap,
    HeavyError,
    InvalidRequest,
    InvalidToken,
    Json,
)
from foundation.identity import Caller
from foundation.limits import RequestLimitReached, caller_key
from foundation.telemetry import Kind, bind
from heavy_agents.events import Page
from routing.cursors import parse_after, parse_run_id
from routing.models import order_of
from routing.preferences import parse_key
from routing.problems import note
from routing.rooms import Rooms
from routing.socket.connection import Connection
from routing.socket.farewell import farewell
from routing.socket.heard import heard
from routing.socket.inbound import Auth, Cancel, Execute, Ping, Resume, message_of, read, request_id_of
from routing.socket.outbound import (
    connected_message,
    error_message,
    gap_message,
    pong_message,
    resumed_message,
)
from routing.socket.subscriptions import Subscriptions

__all__ = ["Session"]

# Refusals in a row for coming too often, before the socket is closed.
PATIENCE: Final = 20


class Session:
    """From the welcome to the end, which is always an exception: see `Connection.receive`."""

    def __init__(self, connection: Connection, rooms: Rooms, caller: Caller) -> None:
        self._connection = connection
        self._rooms = rooms
        self._caller = caller
        self._refused = 0
        self._following = Subscriptions(
            connection, runs=rooms.runs, user_id=caller.user_id, metrics=rooms.metrics
        )

    async def run(self) -> None:
        try:
            await self._welcome()
            while True:
                await self._hear(await self._connection.receive())
        finally:
            await self._following.close()

    async def _welcome(self) -> None:
        self._last_until_the_token_does()
        await self._connection.send(connected_message(self._caller.user_id))

    def _last_until_the_token_does(self) -> None:
        expires_at = self._caller.token_expires_at
        left_s = None if expires_at is None else expires_at - self._rooms.clock.now().timestamp()
        expired = InvalidToken("the token has expired; connect again with a new one")
        in_s = None if left_s is None else left_s + self._connection.tempo.grace_s
        self._connection.expire(in_s, farewell(expired))

    async def _hear(self, text: str) -> None:
        try:
            document = read(text)
        except InvalidRequest as error:
            raise farewell(error) from None
        request_id = request_id_of(document)
        try:
            with heard(self._rooms.metrics, document):
                await self._count()
                await self._answer(document, request_id)
        except HeavyError as error:
            note(error)
            if self._refused > PATIENCE:
                raise farewell(error) from None
            await self._connection.send(error_message(error, request_id=request_id))

    async def _count(self) -> None:
        """A message counts as a request of this caller, so that a socket is no way around the limit."""
        try:
            verdict = await self._rooms.limits.callers.check(caller_key(self._caller.user_id))
            verdict.raise_if_refused()
        except RequestLimitReached:
            self._refused += 1
            raise
        self._refused = 0

    async def _answer(self, document: dict[str, Json], request_id: str | None) -> None:
        message = message_of(document)
        match message:
            case Execute() | Resume() | Cancel():
                await self._answer_traced(message, request_id)
            case Auth() as auth:
                await self._refresh(auth.token)
            case Ping():
                await self._connection.send(pong_message(self._rooms.clock.now()))

    async def _answer_traced(self, message: Execute | Resume | Cancel, request_id: str | None) -> None:
        """What is about a run has a span each; the socket itself may last for days."""
        span = self._rooms.tracer.span(f"socket {message.type}", kind=Kind.SERVER)
        with span as opened, bind(trace_id=opened.trace_id):
            match message:
                case Execute():
                    await self._execute(message, request_id)
                case Resume():
                    await self._resume(message)
                case Cancel():
                    await self._cancel(parse_run_id(message.run_id))

    async def _execute(self, message: Execute, request_id: str | None) -> None:
        self._following.check()
        key = None if message.idempotency_key is None else parse_key([message.idempotency_key])
        order = order_of(message, self._caller, key=key, size_bytes=0)
        submission = await self._rooms.runs.submit(order)
        run_id = UUID(submission.run["run_id"])
        self._following.follow(run_id, after=0, begun=submission.begun, request_id=request_id)

    async def _resume(self, message: Resume) -> None:
        run_id = parse_run_id(message.run_id)
        after = parse_after(after=str(message.after), last_event_id=None)
        if run_id not in self._following:
            self._following.check()
        try:
            page = await self._page(run_id, after)
        except Gap as gap:
            await self._connection.send(gap_message(run_id, gap))
            return
        self._following.leave(run_id)
        await self._connection.send(resumed_message(run_id, after=after, latest=page.latest))
        is_complete = page.is_terminal and after == page.latest
        self._resumed(after, outcome="complete" if is_complete else "resumed")
        if not is_complete:
            self._following.follow(run_id, after=after)

    async def _page(self, run_id: UUID, after: int) -> Page:
        """The place is looked at first, so that what is wrong with it is told before `agent_resumed`."""
        try:
            return await self._rooms.runs.events(self._caller.user_id, run_id, after=after, limit=1)
        except HeavyError:
            self._resumed(after, outcome="refused")
            raise

    async def _cancel(self, run_id: UUID) -> None:
        """Whoever cancels a run that goes on hears of its end, also if it was not followed here."""
        run, had_ended = await self._rooms.runs.cancel(self._caller.user_id, run_id)
        if not had_ended and run_id not in self._following:
            self._following.check()
            self._following.follow(run_id, after=run["last_seq"])

    async def _refresh(self, token: str) -> None:
        caller = await self._rooms.authenticator.verify(token)
        if caller.user_id != self._caller.user_id:
            raise ConflictingCredentials("this socket belongs to another user; open one of your own")
        self._caller = caller
        await self._welcome()

    def _resumed(self, after: int, *, outcome: str) -> None:
        """Only who was here before comes back."""
        if after > 0:
            self._rooms.metrics.resumes_total.labels(outcome=outcome).inc()
