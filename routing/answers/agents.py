"""Agents as their callers and their owners see them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from routing.answers.words import Count, OpenWire, Wire

__all__ = ["AgentMetrics", "Agents", "Price"]


class Price(OpenWire):
    flat: int | None = Field(default=None, description="Whole credits a run.")
    ceiling: int | None = Field(default=None, description="Held at submit, and the most a run is charged.")


class Agent(Wire):
    id: UUID
    name: str
    description: str | None
    kind: str = Field(description="What it is made of: `chat`, `forecast`, …")
    is_heavy: bool
    is_published: bool
    is_own: bool
    price: Price


class Agents(Wire):
    agents: list[Agent]


class AgentUse(Wire):
    credits_used: Count
    operation_type: str
    run_id: UUID | None = Field(default=None, description="Of the caller's own runs only.")
    status: Literal["succeeded", "failed", "cancelled"] | None = None
    created_at: datetime


class AgentMetrics(Wire):
    total_credits: Count
    total_calls: Count
    recent_usage: list[AgentUse] = Field(description="The newest 100, newest first.", max_length=100)
