"""What a user has: credits, and keys that act for the user."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from routing.answers.words import Count, Wire

__all__ = ["Credits", "Keys", "MadeKey"]


class Credits(Wire):
    balance: int = Field(description="What the account has, in whole credits.")
    held: Count = Field(description="What runs that have not ended hold of it.")
    available: int = Field(description="`balance` without what is held.")
    plan: str
    used_this_month: Count


class KeyHead(Wire):
    id: UUID
    name: str
    prefix: str = Field(description="The key's first 12 characters.")
    created_at: datetime


class MadeKey(KeyHead):
    key: str = Field(description="The key itself, shown this once.", examples=["sy_" + "x" * 32])


class Key(KeyHead):
    last_used_at: datetime | None = Field(description="To the minute; null when it was never used.")
    is_active: bool


class Keys(Wire):
    keys: list[Key]
