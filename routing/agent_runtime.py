"""The edge router's contract, served here: light agents are answered at once, heavy ones become runs.

The edge function `agent-runtime` of a Supabase project does the same, by the same table (`routing.decision`)
and the same SQL functions, so that an app may ask either of them. Here nobody is forwarded to: what the table
sends to a backend is a run of this one.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from foundation.errors import AgentNotFound, ConversationNotFound, FieldError, InvalidBody, ModelUnavailable
from heavy_agents.edge import Question, RoutedAgent
from heavy_agents.runs import Order
from routing.answers import RuntimeAnswer
from routing.bodies import EXECUTE_BYTES, read_model
from routing.by_hand import ByHand
from routing.callers import RoomsOf
from routing.decision import Edge
from routing.events import SSE, streamed
from routing.examples import LIGHT_AGENT_ID, LIGHT_ANSWER, LIGHT_STREAM
from routing.execute import EXAMPLE, GOES_ON, OF_RUNS, SAID
from routing.launch import launch
from routing.light_stream import LightStream
from routing.mistakes_first import ReadCallerOf
from routing.models import ExecuteBody, order_of
from routing.openapi import Answer, json_body, operation
from routing.parameters import IdempotencyKey, Prefer
from routing.preferences import accepts, parse_key, parse_prefer
from routing.replies import Json
from routing.rooms import Rooms
from routing.routed import route
from routing.waiting import unless_left
from routing.wire import light_document

__all__ = ["router"]

QUESTION: Final = {
    "agentId": LIGHT_AGENT_ID,
    "messages": [{"role": "user", "content": "When are you open?"}],
}
KEEPS_NOTHING: Final = "wants a heavy agent: only a run keeps a conversation"
ANSWERED: Final = Answer(
    "A light agent's answer, or a run that has succeeded; or the events of either, as they come.",
    model=RuntimeAnswer,
    example=LIGHT_ANSWER,
    sometimes=("Location", *SAID),
    other=streamed("LightMessage", "EventMessage", example=LIGHT_STREAM),
)


def router() -> APIRouter:
    routes = APIRouter(tags=["runs"])
    routes.add_api_route(
        "/functions/v1/agent-runtime",
        agent_runtime,
        route_class_override=ByHand,
        **operation(
            "agentRuntime",
            ANSWERED,
            GOES_ON,
            summary="Ask an agent, light or heavy",
            method="POST",
            errors=(*OF_RUNS, AgentNotFound, ConversationNotFound, ModelUnavailable),
            body=json_body(
                ExecuteBody,
                aQuestion=QUESTION,
                streamed={**QUESTION, "stream": True},
                aForecast=EXAMPLE,
            ),
            waits_for_run=True,
        ),
    )
    return routes


async def agent_runtime(
    request: Request,
    rooms: RoomsOf,
    caller: ReadCallerOf,
    _prefer: Prefer = None,
    _key: IdempotencyKey = None,
) -> Response:
    """What the edge function of this name answers. A heavy agent's run is as `execute` starts it.

    A light agent is answered at once and without a run: there is no `runId`, and nothing to come back to. It
    is charged when it has answered. An `Idempotency-Key` answers once; one that failed may be sent again.
    """
    key = parse_key(request.headers.getlist("idempotency-key"))
    preference = parse_prefer(request.headers.getlist("prefer"))
    body, size_bytes = await read_model(request, ExecuteBody, limit_bytes=EXECUTE_BYTES)
    order = order_of(body, caller, key=key, size_bytes=size_bytes)
    wants_stream = body.stream or accepts(SSE, request.headers.getlist("accept"))
    decision, agent = await route(rooms, order)
    if isinstance(decision, Edge):
        return await _answered(request, rooms, order, agent, wants_stream=wants_stream)
    submit = partial(rooms.edge.charged.submit, price=agent.snapshot.price)
    return await launch(
        request, rooms, caller, order, preference=preference, wants_stream=wants_stream, submit=submit
    )


async def _answered(
    request: Request, rooms: Rooms, order: Order, agent: RoutedAgent, *, wants_stream: bool
) -> Response:
    """A client that leaves does not stop the answer; nobody reads it then, and it is charged."""
    if order.conversation_id is not None:
        raise InvalidBody([FieldError("conversationId", KEEPS_NOTHING)])
    question = Question(order.user_id, agent, order.messages, order.idempotency_key)
    answer = await rooms.edge.light.begin(question)
    if wants_stream:
        return LightStream(answer, metrics=rooms.metrics)
    done = await unless_left(request.receive, answer.ended())
    if answer.error is not None:
        raise answer.error
    return Json(light_document(agent.id, done))
