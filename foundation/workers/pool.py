"""Which process does which job: first come first served, by a few warm processes.

A process is started when a job finds none idle, and the most recently used one goes first, so that heavy
libraries load in as few as needed. One that crashed, timed out or was cancelled is ended, never reused; its
place is free again once nothing of it is left, so memory stays within `processes` × `memory_mb`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson
import structlog

from foundation.errors import Draining, HeavyError, Json
from foundation.lifecycle import TaskOwner
from foundation.workers.errors import JobCrashed, JobFailed, JobTimedOut, PoolBusy, TargetNotAllowed
from foundation.workers.process import Child, OnProgress

__all__ = ["WorkerPool"]

log = structlog.get_logger(__name__)

WARM_LIMIT_S = 60.0
STOPPED = "the computing processes are being stopped"


class WorkerPool:
    """Runs functions `(arguments, report) -> result` by name in processes of their own, JSON in and JSON out.

    A lifecycle service. Waiting for a free process counts against no job's limit; it ends with `PoolBusy`
    after `queue_limit_s`, or at once when `queue_limit` jobs wait already.

    Args:
        processes: how many jobs run at once.
        memory_mb: what each process of a job may take.
        recycle_after: jobs after which a process is replaced, so that leaks stay small.
        allowed: what a target must start with.
    """

    def __init__(
        self,
        *,
        processes: int,
        memory_mb: int,
        recycle_after: int = 200,
        allowed: Sequence[str] = ("forecast.",),
        queue_limit: int = 1_000,
        queue_limit_s: float = 600.0,
    ) -> None:
        self._memory_mb = memory_mb
        self._recycle_after = recycle_after
        self._allowed = tuple(allowed)
        self._queue_limit = queue_limit
        self._queue_limit_s = queue_limit_s
        self._places = asyncio.Semaphore(processes)  # first in, first out
        self._waiting = 0
        self._idle: list[Child] = []
        self._children: set[Child] = set()
        self._burials = TaskOwner("workers")
        self._is_stopped = False

    async def start(self) -> None:
        """Start nothing: the first job does."""

    async def drain(self) -> None:
        """Go on: the jobs belong to runs, and draining those is the business of who runs them."""

    async def stop(self) -> None:
        self._is_stopped = True
        await asyncio.gather(*(self._bury(child) for child in tuple(self._children)))
        await self._burials.stop()

    async def run(
        self,
        target: str,
        arguments: dict[str, Json],
        *,
        timeout_s: float,
        on_progress: OnProgress | None = None,
    ) -> Json:
        """Call `package.module:function` in a process and return what it returns.

        Cancelling the caller, or an error in `on_progress`, ends the job and all it started at once.

        Raises:
            JobFailed, JobCrashed, JobTimedOut: how it ended.
            PoolBusy: it never started.
            Draining: this pool was stopped.
            TargetNotAllowed: `target` is not under an allowed prefix.
            TypeError: `arguments` are not JSON.
        """
        self._check(target)
        request = orjson.dumps({"target": target, "arguments": arguments})
        return await self._ask(request, target=target, timeout_s=timeout_s, on_progress=on_progress)

    async def warm(self, target: str) -> None:
        """Import the module of `target` in the process that the next job will get."""
        self._check(target)
        await self._ask(
            orjson.dumps({"target": target}), target=target, timeout_s=WARM_LIMIT_S, on_progress=None
        )

    def _check(self, target: str) -> None:
        if not target.startswith(self._allowed) or target.count(":") != 1:
            raise TargetNotAllowed(target)

    async def _ask(
        self, request: bytes, *, target: str, timeout_s: float, on_progress: OnProgress | None
    ) -> Json:
        await self._take_place()
        child: Child | None = None
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                child = await self._find_child()
                answer = await child.ask(request, on_progress=on_progress)
        except BaseException as error:
            self._report(error, child, target=target)
            self._discard(child)
            if (ending := self._ending(error, limit=limit, timeout_s=timeout_s)) is None:
                raise
            raise ending from error
        self._keep(child)
        if isinstance(answer, JobFailed):
            log.warning("job_failed", target=target, trace=answer.trace, output=child.output)
            raise answer
        return answer

    async def _take_place(self) -> None:
        if self._places.locked() and self._waiting >= self._queue_limit:
            raise PoolBusy(waiting=self._waiting)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._queue_limit_s):
                await self._places.acquire()
        except TimeoutError:
            raise PoolBusy(waiting=self._waiting - 1) from None
        finally:
            self._waiting -= 1

    async def _find_child(self) -> Child:
        self._check_open()
        while self._idle:
            if (child := self._idle.pop()).is_alive:
                return child
            self._burials.spawn("bury", self._bury(child))
        child = await Child.start(memory_mb=self._memory_mb)
        self._children.add(child)
        if self._is_stopped:  # meanwhile
            child.kill()
        return child

    def _check_open(self) -> None:
        if self._is_stopped:
            raise Draining(STOPPED)

    def _ending(self, error: BaseException, *, limit: asyncio.Timeout, timeout_s: float) -> HeavyError | None:
        """What the caller is told instead of `error`; None to let it through."""
        if isinstance(error, asyncio.CancelledError):
            return None
        if self._is_stopped:
            return Draining(STOPPED)
        if isinstance(error, TimeoutError) and limit.expired():
            return JobTimedOut(timeout_s=timeout_s)
        return None

    def _report(self, error: BaseException, child: Child | None, *, target: str) -> None:
        if isinstance(error, JobCrashed | TimeoutError) and not self._is_stopped:
            output = "" if child is None else child.output
            log.error("job_ended", target=target, why=str(error) or "too slow", output=output)

    def _keep(self, child: Child) -> None:
        if self._is_stopped or child.jobs_done >= self._recycle_after:
            self._discard(child)
            return
        self._idle.append(child)
        self._places.release()

    def _discard(self, child: Child | None) -> None:
        """End it now; its place is free when nothing is left of it."""
        if child is None:
            self._places.release()
            return
        child.kill()
        self._burials.spawn("discard", self._bury_and_free(child))

    async def _bury_and_free(self, child: Child) -> None:
        try:
            await self._bury(child)
        finally:
            self._places.release()

    async def _bury(self, child: Child) -> None:
        await child.bury()
        self._children.discard(child)
