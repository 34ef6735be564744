"""The runs one socket follows, each in a task of its own that ends with the run or with the socket."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final
from uuid import UUID

import structlog

from foundation.errors import Gap, HeavyError, InternalError, Json, RateLimited
from foundation.lifecycle import TaskOwner
from foundation.telemetry import Metrics
from heavy_agents.events import Event
from heavy_agents.runs import Runs
from routing.socket.connection import Connection, Left
from routing.socket.farewell import Farewell
from routing.socket.outbound import error_message, gap_message
from routing.waiting import closing
from routing.wire import socket_message

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

    def follow(self, run_id: UUID, *, after: int, request_id: str | None = None) -> None:
        """Tell the events numbered after+1, after+2, …; in place of what was told of this run before.

        Args:
            request_id: what the client called the message that started the run; told with `started`.
        """
        self.leave(run_id)
        follow = self._follow(run_id, after, request_id)
        task = self._following[run_id] = self._tasks.spawn("follow", follow)
        task.add_done_callback(lambda ended: self._forget(run_id, ended))

    def leave(self, run_id: UUID) -> None:
        """Tell no more of this run; once this returns nothing is sent any more."""
        if (task := self._following.pop(run_id, None)) is not None:
            task.cancel()

    async def close(self) -> None:
        await self._tasks.stop()

    async def _follow(self, run_id: UUID, after: int, request_id: str | None) -> None:
        try:
            with self._metrics.readers.labels(transport="ws").track_inprogress():
                async with closing(self._runs.follow(self._user_id, run_id, after=after)) as batches:
                    async for batch in batches:
                        await self._tell(run_id, batch, request_id)
        except (Left, Farewell):
            # The socket ends by itself; the run goes on.
            return
        except HeavyError as error:
            log.warning("stream_interrupted", run_id=str(run_id), code=error.code)
            await self._break_off(run_id, error)
        except Exception:
            log.exception("stream_broke", run_id=str(run_id))
            await self._break_off(run_id, InternalError("something went wrong on our side"))

    async def _tell(self, run_id: UUID, batch: list[Event], request_id: str | None) -> None:
        for event in batch:
            message = socket_message(run_id, event)
            if event.type == "started":
                message |= _asked_as(request_id)
            await self._connection.send(message)
        # Sending to a client that reads quickly never waits, and would never let anybody else run.
        await asyncio.sleep(0)

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


def _asked_as(request_id: str | None) -> dict[str, Json]:
    return {} if request_id is None else {"requestId": request_id}
