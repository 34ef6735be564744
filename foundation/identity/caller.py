"""Who is asking, once it has been proved."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

__all__ = ["Caller", "CallerKind", "Forwarded"]


class CallerKind(StrEnum):
    """With an own token, with an API key, through an edge function that holds the service secret, or through
    another backend that forwards a run of a user of its own."""

    USER = "user"
    API_KEY = "api_key"
    SERVICE = "service"
    BACKEND = "backend"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What another backend says: which of its users it speaks for, and the key of the run it speaks of."""

    issuer: str
    subject: UUID
    key: str


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Attributes:
        token_expires_at: seconds since the epoch; None when the credential does not expire by itself.
        forwarded: only through another backend; `user_id` is then nobody's of this project, and of its runs
            only that of the key is meant.
    """

    user_id: UUID
    via: CallerKind
    token_expires_at: int | None
    forwarded: Forwarded | None = None
