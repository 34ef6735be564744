"""What a caller may send, as the wire names it. Unknown fields are refused, so that a typo changes nothing.

`userId`, `agentConfig` and `functionResults` come from older front ends: accepted and ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StringConstraints,
)
from pydantic.alias_generators import to_camel

from foundation.identity import Caller
from heavy_agents.runs import Message, Order, Sender

__all__ = [
    "BODIES",
    "ConversationBody",
    "ExecuteBody",
    "KeyBody",
    "MessageBody",
    "ValidatedBody",
    "order_of",
    "order_of_validated",
]

MAX_MESSAGES: Final = 1000
MAX_TEXT: Final = 2_000_000
MAX_METADATA_BYTES: Final = 16 * 1024
MAX_TITLE: Final = 200
MAX_KEY_NAME: Final = 100
MAX_AGENT_NAME: Final = 200
MAX_AGENT_BYTES: Final = 1_000_000


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


# Any: whatever JSON holds.
def _whole(value: Any) -> Any:
    """To JSON, 100 and 100.0 are one number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class KnowledgeBody(BaseModel):
    """An entry of an agent's knowledge; apps keep more with it, which is not for the model."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    title: str | None = None
    content: str


class AgentConfigBody(BaseModel):
    """An agent as its row has it, in the names of its columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(min_length=1, max_length=MAX_AGENT_NAME)]
    system_prompt: str | None = None
    ai_model: Annotated[str, StringConstraints(max_length=MAX_AGENT_NAME)] | None = None
    temperature: Annotated[StrictFloat, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[StrictInt, Field(ge=100, le=4000), BeforeValidator(_whole)] | None = None
    knowledge_base: list[KnowledgeBody] | None = None


def _bounded(agent: AgentConfigBody) -> AgentConfigBody:
    """As a row of the table is: every run keeps a copy."""
    if len(agent.model_dump_json().encode()) > MAX_AGENT_BYTES:
        raise ValueError(f"is larger than {MAX_AGENT_BYTES} bytes; shorten system_prompt or knowledge_base")
    return agent


class ValidatedBody(_Wire):
    """A run of an agent that an edge function has looked up and checked; no row of it is needed here."""

    user_id: UUID = Field(description="Whose run it is, and who pays for it.")
    agent_id: UUID
    agent_config: Annotated[AgentConfigBody, AfterValidator(_bounded)]
    messages: Annotated[list[MessageBody], AfterValidator(_moderate)] = Field(max_length=MAX_MESSAGES)
    stream: StrictBool = Field(default=True, description="Answer with server-sent events.")


class ConversationBody(_Wire):
    """What a conversation may be given. Without a title it takes the beginning of its first user turn."""

    agent_id: UUID | None = None
    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_TITLE)] | None = None


class KeyBody(_Wire):
    """A key to be made."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_KEY_NAME)] = (
        Field(description="For its owner, to tell it from others.", json_schema_extra={"pattern": r"\S"})
    )


BODIES: Final = (ConversationBody, ExecuteBody, KeyBody, ValidatedBody)


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


def order_of_validated(
    body: ValidatedBody, user_id: UUID, *, key: str | None, size_bytes: int, sender: Sender | None
) -> Order:
    """
    Args:
        user_id: whose run it is here; of another backend's user not the one that the body names.
    """
    return Order(
        user_id=user_id,
        agent_id=body.agent_id,
        messages=tuple(Message(each.role, each.content) for each in body.messages),
        input={},
        idempotency_key=key,
        given=body.agent_config.model_dump(mode="json"),
        sender=sender,
        size_bytes=size_bytes,
    )
