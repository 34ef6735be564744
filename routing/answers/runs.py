"""A run as its caller sees it: accepted, going on, ended, and what it cost."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field, RootModel

from routing.answers.agents import Price
from routing.answers.words import AnyJson, Count, JsonObject, Status, Usage, Wire

__all__ = [
    "Accepted",
    "ExecuteAnswer",
    "LightAnswer",
    "Outcome",
    "Receipt",
    "Run",
    "RunsPage",
    "RuntimeAnswer",
]


class Artifact(Wire):
    name: str
    media_type: str
    size: Count = Field(description="Bytes.")
    url: str


class Outcome(Wire):
    response: str | None
    execution_time: Count = Field(description="Milliseconds from the first claim to the end.")
    credits_used: Count
    run_id: UUID
    agent_id: UUID | None
    output: AnyJson = Field(description="What the kind of agent gives besides its text.")
    usage: Usage
    artifacts: list[Artifact]


class ExecuteAnswer(Outcome):
    status: Literal["succeeded"]


class LightAnswer(Wire):
    """What a light agent answered. It has no `runId`: it is no run, and nothing of it is kept."""

    response: str
    execution_time: Count = Field(description="Milliseconds.")
    credits_used: Count
    agent_id: UUID
    status: Literal["succeeded"]
    usage: Usage


class RuntimeAnswer(RootModel[LightAnswer | ExecuteAnswer]):
    """A light agent's answer, or that of a run, which has a `runId`."""


class Accepted(Wire):
    run_id: UUID
    status: Status
    events_url: str
    ws_url: str = Field(description="A WebSocket on which `agent_resume` follows the run.")


class RunOfPage(Wire):
    run_id: UUID
    agent_id: UUID | None
    agent_name: str | None
    kind: str
    status: Status
    code: str | None = Field(description="Why it did not succeed.")
    error: str | None = Field(description="The same for people.")
    usage: Usage
    hold_credits: Count = Field(description="What was held for it when it was accepted.")
    credits_used: Count | None
    last_seq: Count = Field(description="The number of the newest event.")
    attempts: Count
    cancel_requested: bool
    conversation_id: UUID | None
    metadata: JsonObject
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    execution_time: Count | None = Field(description="Milliseconds from the first claim to the end.")
    events_url: str


class Run(RunOfPage):
    response: str | None
    output: AnyJson
    artifacts: list[Artifact] | None = None


class RunsPage(Wire):
    runs: list[RunOfPage] = Field(max_length=100)
    next: UUID | None = Field(description="Ask with `before=` this for the next page.")


class ReceiptEntry(Wire):
    kind: str
    key: str | None
    credits: int = Field(description="Charged.")
    held: int = Field(description="Added to what is held; negative when a hold ends.")
    at: datetime


class ReceiptStep(Wire):
    name: str
    attempt: Count
    usage: Usage
    duration_ms: Count
    finished_at: datetime


class Receipt(Wire):
    run_id: UUID
    status: Status
    credits_owner: Literal["backend", "caller", "off"]
    price: Price
    held: Count
    charged: Count
    attempts: Count
    usage: Usage
    entries: list[ReceiptEntry]
    steps: list[ReceiptStep]
