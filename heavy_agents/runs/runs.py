"""The runs of a user, as the front door sees them: submit, follow, cancel, look up."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from foundation.db import Database
from heavy_agents.events import Event, Follower, Page
from heavy_agents.runs.engine import Engine
from heavy_agents.runs.submit import Order, Submission, Submitter

__all__ = ["Artifact", "Runs"]

# Any: documents as the database's JSON gives them; their shapes stand at the SQL functions.
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Artifact:
    media_type: str
    content: bytes


class Runs:
    """Every method takes the user's id from the verified caller and sees that user's runs only.

    All of them raise RunNotFound for a run that is unknown or somebody else's, and DatabaseUnavailable.
    """

    def __init__(self, db: Database, *, engine: Engine, submitter: Submitter, follower: Follower) -> None:
        self._db = db
        self._engine = engine
        self._submitter = submitter
        self._follower = follower

    async def submit(self, order: Order) -> Submission:
        """See `Submitter.submit`."""
        return await self._submitter.submit(order)

    def follow(
        self, user_id: UUID, run_id: UUID, *, after: int, is_fresh: bool = False
    ) -> AsyncGenerator[list[Event]]:
        """See `Follower.follow`."""
        return self._follower.follow(user_id, run_id, after=after, is_fresh=is_fresh)

    async def events(self, user_id: UUID, run_id: UUID, *, after: int, limit: int) -> Page:
        """See `Follower.read`."""
        return await self._follower.read(user_id, run_id, after=after, limit=limit)

    async def get(self, user_id: UUID, run_id: UUID) -> Document:
        found: Document = await self._db.call("switchyard_runs_get", user_id=user_id, run_id=run_id)
        return found

    async def check_key(self, user_id: UUID, run_id: UUID, *, key: str) -> None:
        """Raises RunNotFound also for a run of the user's that this key has not made. Keys last 90 days."""
        await self._db.call("switchyard_runs_check_key", user_id=user_id, run_id=run_id, key=key)

    async def newest(self, user_id: UUID, *, before: UUID | None, limit: int) -> list[Document]:
        found: list[Document] = await self._db.call(
            "switchyard_runs_list", user_id=user_id, before=before, limit=limit
        )
        return found

    async def cancel(self, user_id: UUID, run_id: UUID) -> tuple[Document, bool]:
        """The run, and whether it had ended already. A running one ends soon after."""
        answer = await self._db.call("switchyard_runs_cancel", user_id=user_id, run_id=run_id)
        self._engine.ends.count(answer.get("end"), is_platforms=False)
        if answer["run"]["ended_ms"] is None:
            self._engine.cancel(run_id)
        elif not answer["already_ended"]:
            self._engine.ended(run_id)
        return answer["run"], answer["already_ended"]

    async def receipt(self, user_id: UUID, run_id: UUID) -> Document:
        found: Document = await self._db.call("switchyard_runs_receipt", user_id=user_id, run_id=run_id)
        return found

    async def artifact(self, user_id: UUID, run_id: UUID, name: str) -> Artifact:
        """Raises ArtifactNotFound too."""
        found = await self._db.call("switchyard_artifacts_get", user_id=user_id, run_id=run_id, name=name)
        return Artifact(found["media_type"], base64.b64decode(found["base64"]))

    async def begin_conversation(
        self, user_id: UUID, *, agent_id: UUID | None, title: str | None
    ) -> Document:
        """An empty conversation. Raises AgentNotFound."""
        made: Document = await self._db.call(
            "switchyard_conversations_create", user_id=user_id, agent_id=agent_id, title=title
        )
        return made

    async def conversation(self, user_id: UUID, conversation_id: UUID) -> Document:
        """With its newest messages. Raises ConversationNotFound."""
        found: Document = await self._db.call(
            "switchyard_conversations_read", user_id=user_id, conversation_id=conversation_id
        )
        return found

    async def credits(self, user_id: UUID) -> Document:
        found: Document = await self._db.call("switchyard_credits_get", user_id=user_id)
        return found

    async def agents(self, user_id: UUID) -> list[Document]:
        found: list[Document] = await self._db.call("switchyard_agents_list", user_id=user_id)
        return found

    async def agent_metrics(self, user_id: UUID, agent_id: UUID) -> Document:
        """What the user's own agent has cost its callers. Raises AgentNotFound."""
        found: Document = await self._db.call("switchyard_agents_metrics", user_id=user_id, agent_id=agent_id)
        return found
