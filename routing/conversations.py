"""The caller's conversations over HTTP: begin one, look one up.

What is said in one comes with the runs that name it as `conversationId`: their turns when they are accepted,
their answer when they end.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from foundation.errors import ConversationNotFound, Json
from routing.bodies import read_model
from routing.callers import CallerOf, RoomsOf
from routing.cursors import UUID_TEXT
from routing.openapi import problems
from routing.replies import Json as JsonReply

__all__ = ["Conversation", "ConversationBody", "ConversationHead", "Turn", "router"]

BODY_BYTES: Final = 1024 * 1024
MAX_TITLE: Final = 200

EXAMPLE: Final = {"agentId": "00000000-0000-4000-a000-000000000001", "title": "A week in Lisbon"}

# Any: rows as the database's JSON gives them; their shapes stand at the SQL functions.
Row = Mapping[str, Any]


class ConversationBody(BaseModel):
    """What a conversation may be given. Without a title it takes the beginning of its first user turn."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=False, validate_by_alias=True
    )

    agent_id: UUID | None = None
    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_TITLE)] | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class ConversationHead(_Answer):
    conversation_id: UUID
    agent_id: UUID | None
    title: str | None
    created_at: datetime


class Turn(_Answer):
    id: UUID
    role: Literal["user", "assistant", "system"]
    content: str
    run_id: UUID | None = Field(description="The run it came with, or that answered it.")
    created_at: datetime


class Conversation(ConversationHead):
    updated_at: datetime
    messages: list[Turn] = Field(description="The newest 200, oldest first.")


def router() -> APIRouter:
    routes = APIRouter(tags=["conversations"])
    routes.add_api_route(
        "/api/conversations",
        begin_conversation,
        methods=["POST"],
        summary="Begin a conversation",
        status_code=201,
        response_model=ConversationHead,
        responses=problems(400, 401, 404, 408, 413, 415, 422, 429, 503),
        openapi_extra={"requestBody": _body()},
    )
    routes.add_api_route(
        "/api/conversations/{conversation_id}",
        get_conversation,
        methods=["GET"],
        summary="Look up a conversation",
        response_model=Conversation,
        responses=problems(400, 401, 404, 429, 503),
    )
    return routes


async def begin_conversation(request: Request, rooms: RoomsOf, caller: CallerOf) -> Response:
    """Empty at first; name it as `conversationId` when a run is started. Every call begins another one."""
    body, _ = await read_model(request, ConversationBody, limit_bytes=BODY_BYTES)
    made = await rooms.runs.begin_conversation(caller.user_id, agent_id=body.agent_id, title=body.title)
    headers = {"Location": f"/api/conversations/{made['id']}"}
    return JsonReply(_head(made), status=201, headers=headers)


async def get_conversation(rooms: RoomsOf, caller: CallerOf, conversation_id: str) -> Response:
    """With what was said in it."""
    found = await rooms.runs.conversation(caller.user_id, _parse(conversation_id))
    document = _head(found) | {
        "updatedAt": _time(found["updated_ms"]),
        "messages": [_turn(message) for message in found["messages"]],
    }
    return JsonReply(document)


def _parse(text: str) -> UUID:
    """Raises ConversationNotFound: no conversation has such an id, so it reads as any unknown one."""
    if UUID_TEXT.fullmatch(text) is None:
        raise ConversationNotFound("no such conversation, or it is not yours")
    return UUID(text)


def _head(row: Row) -> dict[str, Json]:
    return {
        "conversationId": row["id"],
        "agentId": row["agent_id"],
        "title": row["title"],
        "createdAt": _time(row["created_ms"]),
    }


def _turn(row: Row) -> dict[str, Json]:
    return {
        "id": row["id"],
        "role": row["role"],
        "content": row["content"],
        "runId": row.get("run_id"),
        "createdAt": _time(row["created_ms"]),
    }


def _time(since_1970_ms: int) -> str:
    at = datetime.fromtimestamp(since_1970_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Any: a piece of an OpenAPI document, as FastAPI takes it.
def _body() -> dict[str, Any]:
    """The body is read by hand, so it is described by hand."""
    content = {"schema": ConversationBody.model_json_schema(), "example": EXAMPLE}
    return {"required": True, "content": {"application/json": content}}
