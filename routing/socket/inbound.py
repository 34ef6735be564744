"""What a client may say on a socket, and how its text becomes that.

A message that cannot be read at all says nothing about what was meant, so the socket ends. One that can be
read is refused by itself, under its `requestId`, and the socket goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, StrictInt, ValidationError
from pydantic.alias_generators import to_camel

from foundation.errors import InvalidBody, InvalidRequest, Json
from routing.fields import MAX_ERRORS, field_errors, first_mistake, unknown_fields
from routing.models import ExecuteBody

__all__ = [
    "MODELS",
    "Auth",
    "Cancel",
    "Execute",
    "Message",
    "Ping",
    "Resume",
    "message_of",
    "read",
    "request_id_of",
]

MAX_ID_CHARS: Final = 128


class Execute(ExecuteBody):
    """As the body of `POST /api/agent/execute`; the header's key is a field here."""

    type: Literal["agent_execute"]
    idempotency_key: str | None = None
    request_id: str | None = None


class _Wire(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=False, validate_by_alias=True
    )

    request_id: str | None = None


class Resume(_Wire):
    """Follow a run from after the event numbered `after`; 0 for all of it."""

    type: Literal["agent_resume"]
    run_id: str
    after: StrictInt = 0


class Cancel(_Wire):
    type: Literal["agent_cancel"]
    run_id: str


class Auth(_Wire):
    type: Literal["auth"]
    token: str


class Ping(_Wire):
    """What else a client puts into its pings changes nothing."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["ping"]


Message = Execute | Resume | Cancel | Auth | Ping

MODELS: Final[Mapping[str, type[Message]]] = {
    "agent_execute": Execute,
    "agent_resume": Resume,
    "agent_cancel": Cancel,
    "auth": Auth,
    "ping": Ping,
}


def read(text: str) -> dict[str, Json]:
    """
    Raises:
        InvalidRequest: it is no JSON object with a `type`.
    """
    try:
        document: Json = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the message is no JSON, or nested too deeply: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        raise InvalidRequest("a message is a JSON object with a `type`")
    return document


def request_id_of(document: dict[str, Json]) -> str | None:
    """The client's own name for this message, if it gave one that can be repeated."""
    given = document.get("requestId")
    return given if isinstance(given, str) and len(given) <= MAX_ID_CHARS else None


def message_of(document: dict[str, Json]) -> Message:
    """
    Raises:
        InvalidRequest: there is no such message.
        InvalidBody: its fields are not what it wants, with every one.
    """
    model = MODELS.get(str(document["type"]))
    if model is None:
        raise InvalidRequest(f"there is no such message; known are {', '.join(MODELS)}")
    if (mistake := first_mistake(document)) is not None:
        raise InvalidBody([mistake])
    strangers = unknown_fields(document, model) if model is not Ping else []
    if len(strangers) == MAX_ERRORS:
        raise InvalidBody(strangers)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise InvalidBody(field_errors(error.errors(include_url=False, include_input=False))) from None
