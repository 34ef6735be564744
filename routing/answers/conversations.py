"""Conversations and what was said in them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from routing.answers.words import Wire

__all__ = ["Conversation", "ConversationHead"]


class ConversationHead(Wire):
    conversation_id: UUID
    agent_id: UUID | None
    title: str | None
    created_at: datetime


class Turn(Wire):
    id: UUID
    role: Literal["user", "assistant", "system"]
    content: str
    run_id: UUID | None = Field(description="The run it came with, or that answered it.")
    created_at: datetime


class Conversation(ConversationHead):
    updated_at: datetime
    messages: list[Turn] = Field(description="The newest 200, oldest first.", max_length=200)
