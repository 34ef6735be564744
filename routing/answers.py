"""What an answer looks like, for the API's description; the values themselves are made in `routing.wire`.

Every model forbids other fields, so that a test can hold the description to the truth.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = [
    "Accepted",
    "AgentHealth",
    "AgentMetrics",
    "Agents",
    "Alive",
    "Conversation",
    "ConversationHead",
    "Credits",
    "EventsPage",
    "ExecuteAnswer",
    "Keys",
    "MadeKey",
    "ProblemDocument",
    "Ready",
    "Receipt",
    "Run",
    "RunsPage",
    "WholeHealth",
]

# Any: a JSON object or value of an agent's or the caller's own.
JsonObject = dict[str, Any]
AnyJson = Any

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Usage = dict[str, int]


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class Artifact(_Wire):
    name: str
    media_type: str
    size: int = Field(description="Bytes.")
    url: str


class ExecuteAnswer(_Wire):
    response: str | None
    execution_time: int = Field(description="Milliseconds from the first claim to the end.")
    credits_used: int
    run_id: UUID
    agent_id: UUID | None
    status: Status
    output: AnyJson
    usage: Usage
    artifacts: list[Artifact]


class Accepted(_Wire):
    run_id: UUID
    status: Status
    events_url: str
    ws_url: str = Field(description="A WebSocket on which `agent_resume` follows the run.")


class RunOfPage(_Wire):
    run_id: UUID
    agent_id: UUID | None
    agent_name: str | None
    kind: str
    status: Status
    code: str | None
    error: str | None
    usage: Usage
    hold_credits: int
    credits_used: int | None
    last_seq: int = Field(description="The number of the newest event.")
    attempts: int
    cancel_requested: bool
    conversation_id: UUID | None
    metadata: JsonObject
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    execution_time: int | None
    events_url: str


class Run(RunOfPage):
    response: str | None
    output: AnyJson
    artifacts: list[Artifact] | None = None


class RunsPage(_Wire):
    runs: list[RunOfPage]
    next: UUID | None = Field(description="Ask with `before=` this for the next page.")


class EventsPage(_Wire):
    run_id: UUID
    events: list[JsonObject] = Field(description="As the stream's `data`: `type`, `runId`, `seq`, …")
    latest: int = Field(description="The number of the run's newest event.")
    is_terminal: bool


class ReceiptEntry(_Wire):
    kind: str
    key: str | None
    credits: int = Field(description="Charged.")
    held: int = Field(description="Added to what is held; negative when a hold ends.")
    at: datetime


class ReceiptStep(_Wire):
    name: str
    attempt: int
    usage: Usage
    duration_ms: int
    finished_at: datetime


class Price(_Wire):
    model_config = ConfigDict(extra="allow", alias_generator=to_camel)
    flat: int | None = None
    ceiling: int | None = None


class Receipt(_Wire):
    run_id: UUID
    status: Status
    credits_owner: Literal["backend", "caller", "off"]
    price: Price
    held: int
    charged: int
    attempts: int
    usage: Usage
    entries: list[ReceiptEntry]
    steps: list[ReceiptStep]


class Credits(_Wire):
    balance: int
    held: int
    available: int
    plan: str
    used_this_month: int


class Agent(_Wire):
    id: UUID
    name: str
    description: str | None
    kind: str
    is_heavy: bool
    is_published: bool
    is_own: bool
    price: Price


class Agents(_Wire):
    agents: list[Agent]


class AgentUse(_Wire):
    credits_used: int
    operation_type: str
    run_id: UUID | None = Field(default=None, description="Of the caller's own runs only.")
    status: Literal["succeeded", "failed", "cancelled"] | None = None
    created_at: datetime


class AgentMetrics(_Wire):
    total_credits: int
    total_calls: int
    recent_usage: list[AgentUse] = Field(description="The newest 100, newest first.")


class KeyHead(_Wire):
    id: UUID
    name: str
    prefix: str = Field(description="The key's first 12 characters.")
    created_at: datetime


class MadeKey(KeyHead):
    key: str = Field(description="The key itself, shown this once.", examples=["sy_" + "x" * 32])


class Key(KeyHead):
    last_used_at: datetime | None = Field(description="To the minute; null when it was never used.")
    is_active: bool


class Keys(_Wire):
    keys: list[Key]


class Alive(_Wire):
    status: Literal["alive"]


class Ready(_Wire):
    status: Literal["ready", "not_ready"]
    checks: dict[str, str]


class WholeHealth(_Wire):
    status: Literal["healthy", "unhealthy"]
    timestamp: datetime
    service: str
    version: str
    uptime: float = Field(description="Seconds.")
    checks: dict[str, str]


class ConversationHead(_Wire):
    conversation_id: UUID
    agent_id: UUID | None
    title: str | None
    created_at: datetime


class Turn(_Wire):
    id: UUID
    role: Literal["user", "assistant", "system"]
    content: str
    run_id: UUID | None = Field(description="The run it came with, or that answered it.")
    created_at: datetime


class Conversation(ConversationHead):
    updated_at: datetime
    messages: list[Turn] = Field(description="The newest 200, oldest first.")


class Capacity(_Wire):
    active: int
    slots: int
    free: int


class AgentHealth(_Wire):
    status: Literal["healthy", "unhealthy"]
    capacity: Capacity


class ProblemDocument(_Wire):
    """RFC 9457; more members, such as `needed`, `retryAfter` or `errors`, come with some codes."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel)
    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="What a program should look at; never changes its meaning.")
    request_id: str
    error: str
    message: str
