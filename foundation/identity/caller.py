"""Who is asking, once it has been proved."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

__all__ = ["Caller", "CallerKind"]


class CallerKind(StrEnum):
    """With an own token, with an API key, or through an edge function that holds the service secret."""

    USER = "user"
    API_KEY = "api_key"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Caller:
    """`token_expires_at`: seconds since the epoch; None when the credential does not expire by itself."""

    user_id: UUID
    via: CallerKind
    token_expires_at: int | None
