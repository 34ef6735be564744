"""The runs one socket follows, each in a task of its own that ends with the run or with the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog

from foundation.errors import Gap, HeavyError, InternalError, RateLimited
from foundation.lifecycle import TaskOwner
from foundation.telemetry import Metrics
from heavy_agents.events import Event
from heavy_agents.runs import Runs
from routing.batched import taken
from routing.socket.connection import Connection, Left
from routing.socket.farewell import Farewell
from routing.socket.outbound import error_message, event_text, gap_message
from routing.waiting import closing

__all__ = ["Subscriptions"]

log = structlog.get_logger(__name__)

MAX_A_SOCKET: Final = 10
RETRY_AFTER_S: Final = 5


class Subscriptions:
    def __init__(self, connection: Connection, *, runs: Runs, user_id: UUID, metrics: Metrics) -> None:
        self._connection = connection
        self._runs = runs
        self._user_id = user_id
        self._metrics = metrics
        self._following: dict[UUID, asyncio.Task[None]] = {}
        self._tasks = TaskOwner("socket")

    def __contains__(self, run_id: UUID) -> bool:
        return run_id in self._following

    def check(self) -> None:
        """
        Raises:
            RateLimited: this socket follows as many runs as one may.
        """
        if len(self._following) >= MAX_A_SOCKET:
            policy = f"{MAX_A_SOCKET} runs followed on a socket"
            raise RateLimited(retry_after_s=RETRY_AFTER_S, policy=policy)

    def follow(
        self, run_id: UUID, *, after: int, begun: Sequence[Event] = (), request_id: str | None = None
    ) -> None:
        """Tell the events numbered after+1, after+2, …; in place of what was told of this run before.

        Args:
            begun: the first of these events that are known, if the run was made just now.
            request_id: what the client called the message that started the run; told with `started`.
        """
        self.leave(run_id)
        follow = self._follow(run_id, after=after, begun=begun, request_id=request_id)
        task = self._following[run_id] = self._tasks.spawn("follow", follow)
        task.add_done_callback(lambda ended: self._forget(run_id, ended))

    def leave(self, run_id: UUID) -> None:
        """Tell no more of this run; once this returns nothing is sent any more."""
        if (task := self._following.pop(run_id, None)) is not None:
            task.cancel()

    async def close(self) -> None:
        await self._tasks.stop()

    async def _follow(
        self, run_id: UUID, *, after: int, begun: Sequence[Event], request_id: str | None
    ) -> None:
        follow = self._runs.follow(self._user_id, run_id, after=after + len(begun), is_fresh=bool(begun))
        try:
            with self._metrics.readers.labels(transport="ws").track_inprogress():
                async with closing(follow) as batches:
                    await self._tell(run_id, begun, request_id)
                    async for batch in batches:
                        await self._tell(run_id, taken(batch), request_id)
        except (Left, Farewell):
            # The socket ends by itself; the run goes on.
            return
        except HeavyError as error:
            log.warning("stream_interrupted", run_id=str(run_id), code=error.code)
            await self._break_off(run_id, error)
        except Exception:
            log.exception("stream_broke", run_id=str(run_id))
            await self._break_off(run_id, InternalError("something went wrong on our side"))

    async def _tell(self, run_id: UUID, events: Iterable[Event], request_id: str | None) -> None:
        await self._connection.tell(event_text(run_id, event, request_id=request_id) for event in events)
        # Only then is the run asked for more.
        await self._connection.taken_enough()

    async def _break_off(self, run_id: UUID, error: HeavyError) -> None:
        """The client may resume from its last number, or from where the log goes on."""
        if isinstance(error, Gap):
            message = gap_message(run_id, error)
        else:
            message = error_message(error, run_id=run_id)
            self._metrics.interrupted_total.labels(transport="ws").inc()
        with suppress(Left, Farewell):
            await self._connection.send(message)

    def _forget(self, run_id: UUID, ended: asyncio.Task[None]) -> None:
        if self._following.get(run_id) is ended:
            del self._following[run_id]
