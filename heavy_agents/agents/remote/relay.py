"""One run that another backend executes, from its start there to its end here.

    begin     the other accepts the run; which one it is there is a journaled step
    relay     each event there becomes one here, marked with its number there
    end       what it came to, and what it has used, is ours

After a crash the step is read, the last mark is looked up, and the stream goes on behind it, so that no word
comes twice and none is lost. A stream that is cut is asked for again likewise. What ends our run for good
ends that one too: a person that cancels, a deadline, a failure of ours. A lost lease or a shutdown leaves it
alone, for whoever goes on with ours.

Not promised: that a run there ends with ours if this process dies in that moment; it comes to its own end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import structlog

from foundation.errors import BackendFailed, Json
from heavy_agents import runs
from heavy_agents.agents.remote.errors import Away, Refused
from heavy_agents.agents.remote.messages import Message, event_of, is_terminal, number_of
from heavy_agents.agents.remote.patience import Patience
from heavy_agents.agents.remote.peer import Errand, Peer
from heavy_agents.agents.remote.plan import body_of
from heavy_agents.agents.remote.stream import Stream
from heavy_agents.agents.remote.verdict import FAILED, answer_of, failure_of, usage_of
from heavy_agents.events import LeaseLost
from heavy_agents.runs import Answer, CreditExhausted, Usage

__all__ = ["Relay"]

log = structlog.get_logger(__name__)

STEP: Final = "forward"
END_STEP: Final = "answer"
AWAY: Final = "the agent's own backend cannot be reached; try again later"
TRIES: Final = 5
CANCEL_WITHIN_S: Final = 1.2
CANCEL_LOOK_S: Final = 0.1


class Relay:
    def __init__(
        self, peer: Peer, ctx: runs.Context, *, patience_s: float, end_later: Callable[[Errand, UUID], None]
    ) -> None:
        """
        Args:
            end_later: ends a run there beside ours, which does not wait for it.
        """
        self._peer = peer
        self._ctx = ctx
        self._errand = Errand(ctx.user_id, ctx.key(STEP))
        self._patience = Patience(patience_s)
        self._end_later = end_later
        self._body: dict[str, Json] | None = None  # once the other may have heard of the run
        self._run_id: UUID | None = None
        self._last = 0
        self._stream: Stream | None = None
        self._is_over = False

    async def run(self) -> Answer:
        try:
            return await self._run()
        except (asyncio.CancelledError, LeaseLost):
            if self._ctx.is_ending:
                await self._end_there()
            raise
        except Away as away:
            log.warning("backend_away", backend=self._peer.origin, why=away.why)
            self._leave()
            raise BackendFailed(AWAY) from None
        except Refused as refused:
            log.warning("backend_refused", backend=self._peer.origin, why=refused.why)
            self._leave()
            raise refused.cause from None
        except Exception:
            self._leave()
            raise
        finally:
            await self._close()

    async def _run(self) -> Answer:
        await self._begin()
        end = await self._relay()
        self._is_over = True
        if end["type"] == "done":
            answer = answer_of(end)
            await self._count(usage_of(end.get("usage")))
            return answer
        self._ctx.spend(await self._used())
        raise failure_of(end)

    async def _begin(self) -> None:
        messages = await self._ctx.history()

        async def work() -> Json:
            self._body = body_of(self._ctx.request.agent, messages, user_id=self._ctx.user_id)
            self._stream = await self._accepted(self._body)
            return {"backend": self._peer.origin, "runId": str(self._run_id)}

        journaled = await self._ctx.step(STEP, work)
        assert isinstance(journaled, dict)  # noqa: S101 - as the step made it
        self._run_id = UUID(str(journaled["runId"]))
        if self._stream is None:
            _, self._last = await self._ctx.relayed()

    async def _accepted(self, body: dict[str, Json]) -> Stream:
        """The stream of the run, once the other has taken it."""
        tries = 0
        while True:
            try:
                return await self._opened(body)
            except Away as away:
                tries += not away.is_busy
                if away.is_left_alone or tries >= TRIES or self._patience.is_over:
                    raise
                await self._patience.pause(away)

    async def _opened(self, body: dict[str, Json]) -> Stream:
        stream = await self._peer.begin(self._errand, body)
        try:
            self._run_id = UUID(str((await stream.first()).get("runId")))
        except BaseException as error:
            await stream.close()
            if isinstance(error, ValueError):
                raise Refused("nameless_run", BackendFailed(FAILED)) from None
            raise
        return stream

    async def _relay(self) -> Message:
        """Relay until the run there has ended; how it did."""
        resumed_at = self._last
        while True:
            try:
                if self._stream is None:
                    self._stream = await self._peer.follow(self._errand, self._known_id, after=self._last)
                self._patience.opened()
                while (message := await self._stream.next()) is not None:
                    if is_terminal(message):
                        return message
                    await self._tell(message)
                    if resumed_at and self._last > resumed_at:
                        # A claim that gets on is no failed attempt.
                        resumed_at = await self._mark()
                away = Away("ended_early")
            except Away as cut:
                away = cut
            self._patience.closed()
            await self._close()
            if self._patience.is_over:
                raise away
            await self._patience.pause(away)

    async def _tell(self, message: Message) -> None:
        number = number_of(message)
        if number is None or number <= self._last:
            return
        if (event := event_of(message)) is not None:
            type_, data = event
            if type_ == "retry":
                after = data["discardAfter"]
                assert isinstance(after, int)  # noqa: S101 - as the message was read
                data |= {"discardAfter": (await self._ctx.relayed(upto=after))[0]}
            if type_ == "artifact":
                data = await self._kept(data)
            await self._ctx.relay(type_, data, number=number)
        self._last = number
        self._patience.got_on()

    async def _kept(self, data: dict[str, Json]) -> dict[str, Json]:
        """A file there becomes one of ours, because our reader has no business there."""
        name = str(data["name"])
        file = await self._peer.file(self._errand, self._known_id, name=name)
        if file is None:
            return data
        media_type, content = file
        return await self._ctx.keep(name, media_type=media_type, content=content)

    async def _mark(self) -> int:
        async def work() -> Json:
            return self._last

        await self._ctx.step(f"{STEP}.{self._ctx.attempt}", work)
        return 0

    async def _count(self, usage: Usage) -> None:
        async def work() -> Json:
            self._ctx.spend(usage)
            return None

        try:
            await self._ctx.step(END_STEP, work)
        except CreditExhausted:
            # Time is used up, but the answer is here: it costs what is held, and no more.
            self._ctx.spend(usage)

    async def _used(self) -> Usage:
        """What a run that has failed there has used; nothing if that cannot be learned."""
        try:
            return usage_of((await self._peer.look(self._errand, self._known_id)).get("usage"))
        except (Away, Refused):
            return Usage()

    async def _end_there(self) -> None:
        """Our run ends because somebody wants it to: so does that one, and we learn what it has used."""
        if self._is_over or (self._run_id is None and self._body is None):
            return
        # Who has read of it has had a call of its model; how many only the other can tell.
        used = Usage(model_calls=1) if self._last else Usage()
        try:
            async with asyncio.timeout(CANCEL_WITHIN_S):
                used = await self._ended_there()
        except (Away, Refused, TimeoutError):
            self._leave()
        self._ctx.spend(used)

    async def _ended_there(self) -> Usage:
        if self._run_id is None and self._body is not None:
            # It was asked for, and the answer had not come: whichever run has its key is the one.
            await (await self._opened(self._body)).close()
        # Any: the run as the other's JSON gives it.
        told: Any = await self._peer.cancel(self._errand, self._known_id)
        while told.get("status") in {"queued", "running"}:
            await asyncio.sleep(CANCEL_LOOK_S)
            told = await self._peer.look(self._errand, self._known_id)
        return usage_of(told.get("usage"))

    def _leave(self) -> None:
        """Our run fails, and nobody waits for that one any more."""
        if self._run_id is not None and not self._is_over:
            self._end_later(self._errand, self._run_id)

    @property
    def _known_id(self) -> UUID:
        assert self._run_id is not None  # noqa: S101 - known once it was begun
        return self._run_id

    async def _close(self) -> None:
        if (stream := self._stream) is not None:
            self._stream = None
            await stream.close()
