"""Light answers under way: how many there may be at once, and what becomes of them when the process leaves.

An answer is a task of its own, so that a client that leaves stops nothing: the model is read to its end.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final
from uuid import UUID

import structlog

from foundation.errors import Draining, ModelUnavailable, RateLimited
from foundation.lifecycle import TaskOwner
from foundation.telemetry import Metrics
from heavy_agents.edge.answer import LightAnswer
from heavy_agents.edge.answering import Answering, Question, Work

__all__ = ["LightAnswers"]

log = structlog.get_logger(__name__)

MAX_AT_ONCE: Final = 200
MAX_A_USER: Final = 20
RETRY_AFTER_S: Final = 2
# Of what the process has between SIGTERM and its end; what is drained before takes next to nothing.
PATIENCE_SHARE: Final = 0.3
LOOK_S: Final = 0.02
# For a database that answers, milliseconds are enough.
END_WITHIN_S: Final = 2.0


class LightAnswers:
    """A lifecycle service: drained, it lets what has begun come to its end, or releases it."""

    def __init__(
        self,
        answering: Answering,
        *,
        metrics: Metrics,
        drain_s: float = 25.0,
        max_at_once: int = MAX_AT_ONCE,
        max_a_user: int = MAX_A_USER,
    ) -> None:
        """`drain_s`: what the whole process has between SIGTERM and its end."""
        self._answering = answering
        self._metrics = metrics
        self._patience_s = drain_s * PATIENCE_SHARE
        self._max_at_once = max_at_once
        self._max_a_user = max_a_user
        self._of: Counter[UUID] = Counter()
        self._is_draining = False
        self._tasks = TaskOwner("light")

    async def start(self) -> None:
        """Questions come by themselves."""

    async def drain(self) -> None:
        """Begin nothing new, and wait for what has begun; what takes too long is ended and not charged."""
        clock = asyncio.get_running_loop()
        began_s, answers = clock.time(), self._of.total()
        self._is_draining = True
        try:
            while self._of.total() and clock.time() < began_s + self._patience_s:
                await asyncio.sleep(LOOK_S)
        finally:
            # Also when others took so long that there is less time: readers are told, and nothing is charged.
            left = self._of.total()
            await self._tasks.stop(within_s=END_WITHIN_S)
            took_ms = round((clock.time() - began_s) * 1000)
            log.info("light_answers_ended", answers=answers, left=left, took_ms=took_ms)

    async def stop(self) -> None:
        self._is_draining = True
        await self._tasks.stop()

    async def begin(self, question: Question) -> LightAnswer:
        """Hold, and answer beside whoever asks.

        Raises:
            Draining, RateLimited, ModelUnavailable: not here, or not now.
            NotConfigured, InvalidBody, InsufficientCredits, KeyConflict, DatabaseUnavailable: see
                `Answering.prepare`.
        """
        self._check_room(question.user_id)
        self._of[question.user_id] += 1
        try:
            answer = LightAnswer(question.agent.id)
            work = await self._answering.prepare(question)
            self._tasks.spawn("answer", self._answer(work, answer))
        except BaseException:
            self._left(question.user_id)
            raise
        return answer

    def _check_room(self, user_id: UUID) -> None:
        if self._is_draining:
            raise Draining("this server is restarting; send the request again")
        if self._of[user_id] >= self._max_a_user:
            policy = f"{self._max_a_user} light answers at once"
            raise RateLimited(retry_after_s=RETRY_AFTER_S, policy=policy, quota=self._max_a_user)
        if self._of.total() >= self._max_at_once:
            raise ModelUnavailable("this server answers as many as it can at once; try again")

    async def _answer(self, work: Work, answer: LightAnswer) -> None:
        try:
            await self._answering.answer(work, answer)
        finally:
            outcome = "answered" if answer.error is None else answer.error.code
            self._metrics.light_answers_total.labels(outcome=outcome).inc()
            self._left(work.question.user_id)

    def _left(self, user_id: UUID) -> None:
        self._of[user_id] -= 1
        if self._of[user_id] <= 0:
            del self._of[user_id]
