"""The caller's conversations over HTTP: begin one, look one up.

What is said in one comes with the runs that name it as `conversationId`: their turns when they are accepted,
their answer when they end.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from foundation.errors import AgentNotFound, ConversationNotFound
from routing.answers import Conversation, ConversationHead
from routing.bodies import read_model
from routing.callers import CallerOf, RoomsOf
from routing.cursors import parse_id
from routing.examples import AGENT_ID, CONVERSATION, CONVERSATION_HEAD
from routing.models import ConversationBody
from routing.openapi import OF_BODIES, OF_CALLERS, OF_PATHS, Answer, json_body, operation
from routing.parameters import ConversationId
from routing.replies import Json
from routing.wire import conversation_document

__all__ = ["router"]

BODY_BYTES: Final = 1024 * 1024


def router() -> APIRouter:
    routes = APIRouter(tags=["conversations"])
    routes.add_api_route(
        "/api/conversations",
        begin_conversation,
        **operation(
            "beginConversation",
            Answer(
                "The conversation, empty.",
                status=201,
                model=ConversationHead,
                example=CONVERSATION_HEAD,
                always=("Location",),
            ),
            summary="Begin a conversation",
            method="POST",
            errors=(*OF_CALLERS, *OF_BODIES, AgentNotFound),
            body=json_body(
                ConversationBody,
                withAnAgent={"agentId": AGENT_ID, "title": "A week in Lisbon"},
                withoutAny={},
            ),
        ),
    )
    routes.add_api_route(
        "/api/conversations/{conversation_id}",
        get_conversation,
        **operation(
            "getConversation",
            Answer("The conversation.", model=Conversation, example=CONVERSATION),
            summary="Look up a conversation",
            errors=(*OF_CALLERS, *OF_PATHS, ConversationNotFound),
        ),
    )
    return routes


async def begin_conversation(request: Request, rooms: RoomsOf, caller: CallerOf) -> Response:
    """Empty at first; name it as `conversationId` when a run is started. Every call begins another one."""
    body, _ = await read_model(request, ConversationBody, limit_bytes=BODY_BYTES)
    made = await rooms.runs.begin_conversation(caller.user_id, agent_id=body.agent_id, title=body.title)
    headers = {"Location": f"/api/conversations/{made['id']}"}
    return Json(conversation_document(made), status=201, headers=headers)


async def get_conversation(rooms: RoomsOf, caller: CallerOf, conversation_id: ConversationId) -> Response:
    """With what was said in it."""
    unknown = ConversationNotFound("no such conversation, or it is not yours")
    found = await rooms.runs.conversation(caller.user_id, parse_id(conversation_id, unknown=unknown))
    return Json(conversation_document(found))
