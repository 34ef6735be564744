"""The calls of the database that a run's life, its readers and its owner make, each timed by itself."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable
from typing import Any, Final, Self, TypeVar
from uuid import UUID, uuid4

from benchmarks.history import BUSY_AGENT, BUSY_USER, LONG_RUN, History
from foundation.errors import Json
from tests.support.sql import Sql, chunks

__all__ = ["HotPaths", "Taken"]

PAGE: Final = 50
EVENTS: Final = 200
HERE_TODAY: Final = 200
WORKER: Final = "growth"
T = TypeVar("T")

# Microseconds by function.
Taken = dict[str, list[float]]


class HotPaths:
    """Through the pool, as the product calls them."""

    def __init__(self, sql: Sql, history: History) -> None:
        self._sql = sql
        self._history = history
        self._random = random.Random(1)  # noqa: S311 - no secret
        # Any: a snapshot of an agent, as JSON.
        self._agent: dict[str, Any] = {}
        self._middle = (LONG_RUN, 0)
        self._conversations: list[UUID] = []
        self._runs: list[tuple[UUID, UUID]] = []

    @classmethod
    async def of(cls, sql: Sql, history: History) -> Self:
        path = cls(sql, history)
        await path._look_around()
        return path

    async def live(self, taken: Taken) -> None:
        """A run from its submission to its end, by a user drawn at random; then one that is begun at once."""
        sql, user = self._sql, self._user()
        told: dict[str, Any] = {"agent_id": BUSY_AGENT, "agent": self._agent}  # Any: as `busy` below
        key = str(uuid4())
        await _timed(taken, "runs_submit", sql.submit(user, key=key, **told))
        (claim,) = await _timed(taken, "runs_claim", sql.claim(WORKER))
        await _timed(taken, "runs_heartbeat", sql.heartbeat(claim, worker=WORKER))
        await _timed(taken, "events_append", sql.append(claim, chunks(2, "a", "b", "c", "d")))
        await _timed(taken, "steps_save", sql.save(claim, "model:1", {"text": "late"}))
        cursors: list[Json] = [{"run_id": claim["run_id"], "after": 1}]
        await _timed(taken, "events_tail", sql.call("events_tail", cursors=cursors, limit=EVENTS))
        await _timed(taken, "runs_get", sql.call("runs_get", user_id=user, run_id=claim["run_id"]))
        await _timed(taken, "runs_finish", sql.finish(claim, events=chunks(6, "e")))
        seen = sql.submit(self._user(), worker=WORKER, is_seen=True, **told)
        begun = (await _timed(taken, "runs_submit_seen, begun at once", seen))["claim"]
        await sql.finish(begun)
        await _timed(taken, "runs_reap", sql.reap())
        backlog = sql.call("runs_backlog", grace_s=60, queue_deadline_s=3600)
        await _timed(taken, "runs_backlog", backlog)

    async def look(self, taken: Taken) -> None:
        """What is looked up of what is stored."""
        sql = self._sql
        run_id, half = self._middle
        user, run = self._random.choice(self._runs)
        thread = self._random.choice(self._conversations)
        busy: dict[str, Any] = {"user_id": BUSY_USER}  # Any: arguments of several types
        await _timed(
            taken,
            "events_read, the middle of a long run",
            sql.read(BUSY_USER, run_id, after=half, limit=EVENTS),
        )
        await _timed(taken, "events_read, any run", sql.read(user, run, after=1, limit=EVENTS))
        first = await _timed(taken, "runs_list", sql.call("runs_list", **busy, before=None, limit=PAGE))
        assert len(first) == PAGE  # noqa: S101 - else the two databases answer differently
        deep = self._runs[0][1]
        await _timed(taken, "runs_list, deep", sql.call("runs_list", **busy, before=deep, limit=PAGE))
        await _timed(taken, "runs_receipt", sql.call("runs_receipt", user_id=user, run_id=run))
        await _timed(taken, "credits_get", sql.credits(BUSY_USER))
        await _timed(taken, "limits_take", sql.call("limits_take", user_id=self._user()))
        await _timed(
            taken,
            "conversations_read",
            sql.call("conversations_read", user_id=BUSY_USER, conversation_id=thread),
        )
        await _timed(
            taken, "conversations_create", sql.call("conversations_create", **busy, agent_id=None, title="t")
        )
        await _timed(taken, "agents_metrics", sql.call("agents_metrics", **busy, agent_id=BUSY_AGENT))
        await _timed(taken, "get_admin_stats", sql.database.call("get_admin_stats"))

    def _user(self) -> UUID:
        """One of those who are here today; what is theirs has been looked at before."""
        return UUID(int=BUSY_USER.int + self._random.randrange(1, min(self._history.users, HERE_TODAY)))

    async def _look_around(self) -> None:
        """Places to look at: the first run in the list is in the middle of the busy user's."""
        sql = self._sql
        self._agent = await sql.call("agents_get", user_id=BUSY_USER, agent_id=BUSY_AGENT)
        longest = await sql.row(LONG_RUN)
        self._middle = (LONG_RUN, max(longest["last_seq"] - EVENTS, 0) // 2)
        rows = await sql.connection.fetch(
            "select user_id, id from switchyard.runs where user_id = $1 and last_seq > 1 and id <> $2"
            " order by id desc limit 500"
            " offset (select count(*) / 2 from switchyard.runs where user_id = $1)",
            BUSY_USER,
            LONG_RUN,
        )
        self._runs = [(row["user_id"], row["id"]) for row in rows]
        rows = await sql.connection.fetch(
            "select id from public.conversations where user_id = $1 order by updated_at desc limit 100",
            BUSY_USER,
        )
        self._conversations = [row["id"] for row in rows]


async def _timed(taken: Taken, function: str, call: Awaitable[T]) -> T:
    began_s = time.perf_counter()
    answer = await call
    taken[function].append((time.perf_counter() - began_s) * 1_000_000)
    return answer
