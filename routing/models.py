"""What a caller may send, as the wire names it. Unknown fields are refused, so that a typo changes nothing.

`userId`, `agentConfig` and `functionResults` come from older front ends: accepted and ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StringConstraints
from pydantic.alias_generators import to_camel

from foundation.identity import Caller
from heavy_agents.runs import Message, Order

__all__ = ["BODIES", "ConversationBody", "ExecuteBody", "KeyBody", "MessageBody", "order_of"]

MAX_MESSAGES: Final = 1000
MAX_TEXT: Final = 2_000_000
MAX_METADATA_BYTES: Final = 16 * 1024
MAX_TITLE: Final = 200
MAX_KEY_NAME: Final = 100


class _Wire(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=False, validate_by_alias=True
    )


# Any: a JSON object of the caller's own, which is stored and handed on as it is.
JsonObject = dict[str, Any]


def _small(metadata: JsonObject) -> JsonObject:
    if len(orjson.dumps(metadata)) > MAX_METADATA_BYTES:
        raise ValueError(f"is larger than {MAX_METADATA_BYTES} bytes of JSON; large values belong in `input`")
    return metadata


class MessageBody(_Wire):
    """One turn of the conversation so far."""

    role: Literal["user", "assistant", "system"]
    content: str


def _moderate(messages: list[MessageBody]) -> list[MessageBody]:
    if sum(len(each.content) for each in messages) > MAX_TEXT:
        raise ValueError(f"hold more than {MAX_TEXT} characters together; large values belong in `input`")
    return messages


class ExecuteBody(_Wire):
    """A run to be executed. `input` is what the kind of agent takes; files go into it as base64."""

    agent_id: UUID
    messages: Annotated[list[MessageBody], AfterValidator(_moderate)] = Field(max_length=MAX_MESSAGES)
    stream: StrictBool = Field(default=False, description="Answer with server-sent events.")
    input: JsonObject = Field(default_factory=dict)
    conversation_id: UUID | None = Field(
        default=None,
        description="Its turns come first; these and the answer are kept in it.",
    )
    metadata: Annotated[JsonObject, AfterValidator(_small)] = Field(
        default_factory=dict, description="Kept with the run and shown with it, at most 16 kB."
    )
    user_id: Any = Field(default=None, description="Ignored: the caller's credential names the user.")
    agent_config: Any = Field(default=None, description="Ignored: the agent's row counts.")
    function_results: Any = Field(default=None, description="Ignored.")


class ConversationBody(_Wire):
    """What a conversation may be given. Without a title it takes the beginning of its first user turn."""

    agent_id: UUID | None = None
    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_TITLE)] | None = None


class KeyBody(_Wire):
    """A key to be made."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_KEY_NAME)] = (
        Field(description="For its owner, to tell it from others.", json_schema_extra={"pattern": r"\S"})
    )


BODIES: Final = (ConversationBody, ExecuteBody, KeyBody)


def order_of(body: ExecuteBody, caller: Caller, *, key: str | None, size_bytes: int) -> Order:
    return Order(
        user_id=caller.user_id,
        agent_id=body.agent_id,
        messages=tuple(Message(each.role, each.content) for each in body.messages),
        input=body.input,
        conversation_id=body.conversation_id,
        metadata=body.metadata,
        idempotency_key=key,
        size_bytes=size_bytes,
    )
