"""Everything that can go wrong, as one tree; each leaf is something a caller can act on.

    HeavyError
    ├── InvalidRequest            400 invalid_request
    │   ├── ConflictingCredentials    conflicting_credentials
    │   └── BadCursor                 bad_cursor
    ├── InvalidToken              401 invalid_token
    ├── InsufficientCredits       402 insufficient_credits
    ├── WrongCaller               403 wrong_caller
    ├── OriginNotAllowed          403 origin_not_allowed
    ├── NotFound                  404 not_found
    │   ├── AgentNotFound             agent_not_found
    │   ├── ConversationNotFound      conversation_not_found
    │   ├── RunNotFound               run_not_found
    │   └── ArtifactNotFound          artifact_not_found
    ├── MethodNotAllowed          405 method_not_allowed
    ├── TooSlow                   408 too_slow
    ├── Gap                       409 gap
    ├── TooLarge                  413 too_large
    ├── UnsupportedMediaType      415 unsupported_media_type
    ├── InvalidBody               422 invalid_body
    ├── KeyConflict               422 key_conflict
    ├── RateLimited               429 rate_limited
    ├── InternalError             500 internal_error
    ├── BackendFailed             502 backend_failed
    ├── NotConfigured             503 not_configured
    ├── Draining                  503 draining
    ├── DatabaseUnavailable       503 database_unavailable
    ├── ModelUnavailable          503 model_unavailable
    └── DeadlineExceeded          504 deadline_exceeded

`code` is API and never changes. The text is for people and names the fix. Causes stay inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "AgentNotFound",
    "ArtifactNotFound",
    "BackendFailed",
    "BadCursor",
    "ConflictingCredentials",
    "ConversationNotFound",
    "DatabaseUnavailable",
    "DeadlineExceeded",
    "Draining",
    "FieldError",
    "Gap",
    "HeavyError",
    "InsufficientCredits",
    "InternalError",
    "InvalidBody",
    "InvalidRequest",
    "InvalidToken",
    "Json",
    "KeyConflict",
    "MethodNotAllowed",
    "ModelUnavailable",
    "NotConfigured",
    "NotFound",
    "OriginNotAllowed",
    "RateLimited",
    "RunNotFound",
    "StartRefused",
    "TooLarge",
    "TooSlow",
    "UnsupportedMediaType",
    "WrongCaller",
]

Json = str | int | float | bool | list["Json"] | dict[str, "Json"] | None


class HeavyError(Exception):
    """The root: carries an API code, an HTTP status and the facts a caller may act on."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, facts: Mapping[str, Json] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self._facts = dict(facts or {})

    def facts(self) -> dict[str, Json]:
        """Extra members of the problem document, by their wire names."""
        return self._facts

    def headers(self) -> dict[str, str]:
        """Response headers that belong to this answer."""
        return {}


class StartRefused(Exception):
    """A verb of the command line ends here; the text is one line a mistake, for the operator."""


class InvalidRequest(HeavyError):
    code = "invalid_request"
    status = 400


class ConflictingCredentials(InvalidRequest):
    code = "conflicting_credentials"


class BadCursor(InvalidRequest):
    """A position no event can have: malformed, negative, or in the future."""

    code = "bad_cursor"


class InvalidToken(HeavyError):
    code = "invalid_token"
    status = 401

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class InsufficientCredits(HeavyError):
    """The account cannot cover what the run would hold."""

    code = "insufficient_credits"
    status = 402

    def __init__(self, *, needed: int, available: int) -> None:
        facts = {"needed": needed, "available": available}
        super().__init__(f"needs {needed} credits, {available} available", facts)
        self.needed = needed
        self.available = available


class WrongCaller(HeavyError):
    """This kind of caller may never do this; another kind may."""

    code = "wrong_caller"
    status = 403


class OriginNotAllowed(HeavyError):
    code = "origin_not_allowed"
    status = 403


class NotFound(HeavyError):
    """Unknown, or somebody else's: both read the same."""

    code = "not_found"
    status = 404


class AgentNotFound(NotFound):
    code = "agent_not_found"


class ConversationNotFound(NotFound):
    code = "conversation_not_found"


class RunNotFound(NotFound):
    code = "run_not_found"


class ArtifactNotFound(NotFound):
    code = "artifact_not_found"


class MethodNotAllowed(HeavyError):
    code = "method_not_allowed"
    status = 405


class TooSlow(HeavyError):
    code = "too_slow"
    status = 408


class Gap(HeavyError):
    """The asked-for events are older than what is kept."""

    code = "gap"
    status = 409

    def __init__(self, *, oldest: int, latest: int) -> None:
        facts = {"oldest": oldest, "latest": latest}
        super().__init__(f"events before {oldest} are no longer kept; the newest is {latest}", facts)
        self.oldest = oldest
        self.latest = latest


class TooLarge(HeavyError):
    code = "too_large"
    status = 413

    def __init__(self, *, limit_bytes: int) -> None:
        facts = {"limitBytes": limit_bytes}
        super().__init__(f"the body is larger than the {limit_bytes} bytes taken here; send less", facts)
        self.limit_bytes = limit_bytes


class UnsupportedMediaType(HeavyError):
    code = "unsupported_media_type"
    status = 415


@dataclass(frozen=True, slots=True)
class FieldError:
    """`field` is a path in wire names, empty for the body itself; `message` says what would be right."""

    field: str
    message: str


class InvalidBody(HeavyError):
    code = "invalid_body"
    status = 422

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        told: list[Json] = [{"field": e.field, "message": e.message} for e in self.errors]
        detail = "; ".join(f"{e.field or 'body'}: {e.message}" for e in self.errors[:3])
        super().__init__(detail, {"errors": told})


class KeyConflict(HeavyError):
    """The idempotency key was used before with another body."""

    code = "key_conflict"
    status = 422


class RateLimited(HeavyError):
    """`policy` says the limit in words, `quota` as a number where it is one."""

    code = "rate_limited"
    status = 429
    retryable = True

    def __init__(self, *, retry_after_s: int, policy: str, quota: int | None = None) -> None:
        detail = f"the limit of {policy} is reached; try again in {retry_after_s} s"
        super().__init__(detail, {"retryAfter": retry_after_s, "policy": policy})
        self.retry_after_s = retry_after_s
        self.policy = policy
        self.quota = quota

    def headers(self) -> dict[str, str]:
        quota = "" if self.quota is None else f";q={self.quota}"
        return {
            "Retry-After": str(self.retry_after_s),
            "RateLimit": f'"{self.code}";r=0;t={self.retry_after_s}',
            "RateLimit-Policy": f'"{self.code}"{quota}',
        }


class InternalError(HeavyError):
    """Our own fault; the log says what, under the request id."""


class BackendFailed(HeavyError):
    code = "backend_failed"
    status = 502
    retryable = True


class NotConfigured(HeavyError):
    code = "not_configured"
    status = 503


class _Unavailable(HeavyError):
    status = 503
    retryable = True

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "2"}


class Draining(_Unavailable):
    code = "draining"


class DatabaseUnavailable(_Unavailable):
    """The database did not answer; whether the call took effect is unknown."""

    code = "database_unavailable"


class ModelUnavailable(_Unavailable):
    code = "model_unavailable"


class DeadlineExceeded(HeavyError):
    code = "deadline_exceeded"
    status = 504
