"""What an SQLSTATE means to a caller.

Our SQL functions refuse by `raise sqlstate 'PT402' using message = '<code>', detail = '<json facts>'`; the
code picks the class, the facts fill it, and the digits are for PostgREST, which answers with them. Every
other state is either the database not being there, text it cannot keep, or our own mistake.

Source: PostgreSQL, appendix A "Error Codes"; PostgREST, "Raise errors with HTTP status codes".
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from foundation import errors
from foundation.errors import (
    DatabaseUnavailable,
    FieldError,
    Gap,
    HeavyError,
    InsufficientCredits,
    InternalError,
    InvalidBody,
    InvalidRequest,
    RateLimited,
    TooLarge,
)

__all__ = ["NO_ANSWER", "OUR_FAULT", "UNKEEPABLE", "error_of"]

NO_ANSWER = "the database did not answer; try again"
OUR_FAULT = "something went wrong on our side"
UNKEEPABLE = "the request holds text or numbers the database cannot keep, such as a NUL character"

_REFUSED_CLASS = "PT"
_UNAVAILABLE_CLASSES = frozenset({"08", "28", "3D", "53"})  # connection, login, name, resources
_UNAVAILABLE_STATES = frozenset(
    {
        "25006",  # read-only: a standby not yet promoted
        "40001",  # serialization failure
        "40P01",  # deadlock
        "55P03",  # lock timeout
        "57014",  # statement timeout
        "57P01",  # shutdown
        "57P02",  # crash of another backend
        "57P03",  # starting up
        "57P05",  # idle session timeout
    }
)
_UNKEEPABLE_STATES = frozenset(
    {
        "22021",  # bytes that are not UTF-8, NUL among them
        "22P02",  # not the text of a UUID, a number, …
        "22P05",  # \u0000 or a lone surrogate in JSON
        "54000",  # longer than any jsonb may be
        "54001",  # nested deeper than the parser goes
    }
)

_SENTENCES: Mapping[str, str] = {
    "agent_not_found": "there is no such agent, or it is not yours to run",
    "artifact_not_found": "the run made no file of that name",
    "backend_failed": "the other backend failed",
    "bad_cursor": "no event has that position",
    "conflicting_credentials": "two credentials name different callers; send one",
    "conversation_not_found": "there is no such conversation, or it is not yours",
    "database_unavailable": NO_ANSWER,
    "deadline_exceeded": "it took longer than it may",
    "draining": "this server is going away; try again",
    "internal_error": OUR_FAULT,
    "invalid_request": "the request cannot be carried out as it is",
    "invalid_token": "the credential is not valid; sign in again",
    "key_conflict": "this Idempotency-Key was used with another body; use a new key",
    "method_not_allowed": "this method is not taken here",
    "model_unavailable": "the model provider did not answer; try again",
    "not_configured": "this is not configured on the server",
    "not_found": "there is no such thing, or it is not yours",
    "origin_not_allowed": "this origin is not allowed",
    "run_not_found": "there is no such run, or it is not yours",
    "too_slow": "the request came too slowly",
    "unsupported_media_type": "this media type is not taken here",
    "wrong_caller": "this kind of caller may not do that",
}


def error_of(sqlstate: str, *, message: str, detail: str | None) -> HeavyError:
    """The error a failed statement stands for; its text holds no SQL, host or credential."""
    if sqlstate.startswith(_REFUSED_CLASS):
        return _refusal(message, _facts(detail))
    if sqlstate[:2] in _UNAVAILABLE_CLASSES or sqlstate in _UNAVAILABLE_STATES:
        return DatabaseUnavailable(NO_ANSWER)
    if sqlstate in _UNKEEPABLE_STATES:
        return InvalidRequest(UNKEEPABLE)
    return InternalError(OUR_FAULT)


def _refusal(code: str, facts: Mapping[str, object]) -> HeavyError:
    try:
        return _with_facts(code, facts) or _with_sentence(code, facts)
    except (KeyError, TypeError, ValueError):
        # An unknown code, or a fact that is missing: the schema and this release disagree.
        return InternalError(OUR_FAULT)


def _with_facts(code: str, facts: Mapping[str, object]) -> HeavyError | None:
    match code:
        case "insufficient_credits":
            return InsufficientCredits(needed=_number(facts["needed"]), available=_number(facts["available"]))
        case "rate_limited":
            return RateLimited(
                retry_after_s=_number(facts["retryAfterS"]),
                policy=str(facts["policy"]),
                quota=_number(facts["quota"]),
            )
        case "gap":
            return Gap(oldest=_number(facts["oldest"]), latest=_number(facts["latest"]))
        case "too_large":
            return TooLarge(limit_bytes=_number(facts["limitBytes"]))
        case "invalid_body":
            return InvalidBody([FieldError(str(facts.get("field", "")), str(facts["detail"]))])
        case _:
            return None


def _with_sentence(code: str, facts: Mapping[str, object]) -> HeavyError:
    return _CLASSES[code](str(facts.get("detail") or _SENTENCES[code]))


def _number(fact: object) -> int:
    if isinstance(fact, bool) or not isinstance(fact, int):
        raise TypeError
    return fact


def _facts(detail: str | None) -> Mapping[str, object]:
    if not detail:
        return {}
    try:
        facts = json.loads(detail)
    except ValueError:
        return {"detail": detail}
    return facts if isinstance(facts, dict) else {}


def _classes() -> dict[str, type[HeavyError]]:
    """Every public leaf that is built from a sentence alone."""
    named = (getattr(errors, name) for name in errors.__all__)
    leaves = (each for each in named if isinstance(each, type) and issubclass(each, HeavyError))
    return {each.code: each for each in leaves if each.code in _SENTENCES and each is not HeavyError}


_CLASSES: Mapping[str, type[HeavyError]] = _classes()
