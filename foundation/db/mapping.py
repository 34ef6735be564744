"""What the codes of Postgres, of PostgREST and of a gateway before it mean to a caller: one table.

Our SQL functions refuse by `raise sqlstate 'PT402' using message = '<code>', detail = '<json facts>'`; the
code picks the class, the facts fill it, and the digits are for PostgREST, which answers with them. Every
other code is either the database not being there, text it cannot keep, or our own mistake.

Sources: PostgreSQL, appendix A "Error Codes"; PostgREST 14, "Errors"; Cloudflare, "Cloudflare 5xx errors".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum, auto
from http import HTTPStatus

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

__all__ = [
    "NO_ANSWER",
    "OUR_FAULT",
    "UNKEEPABLE",
    "Meaning",
    "error_of",
    "error_without_facts",
    "meaning_of",
    "meaning_of_status",
]

NO_ANSWER = "the database did not answer; try again"
OUR_FAULT = "something went wrong on our side"
UNKEEPABLE = "the request holds text or numbers the database cannot keep, such as a NUL character"


class Meaning(Enum):
    """What a code says of the call."""

    REFUSED = auto()  # one of our functions said no, and why
    AWAY = auto()  # no answer; the call may have taken effect
    UNSENT = auto()  # no answer, and nothing was executed
    LOCKED_OUT = auto()  # nor was anything here: the login or the key is not taken, and waiting is no help
    UNKEEPABLE = auto()
    MISSING = auto()  # there is no such function: the schema is another release's
    OUR_FAULT = auto()


# A whole code, or what it begins with; the longest counts. What is not here is our fault.
_MEANINGS: Mapping[str, Meaning] = {
    "PT": Meaning.REFUSED,
    "08": Meaning.AWAY,  # connection
    "28": Meaning.LOCKED_OUT,  # login
    "3D": Meaning.LOCKED_OUT,  # no database of that name
    "53": Meaning.AWAY,  # resources
    "25006": Meaning.AWAY,  # read-only: a standby not yet promoted
    "25P04": Meaning.AWAY,  # transaction timeout
    "40001": Meaning.AWAY,  # serialization failure
    "40P01": Meaning.AWAY,  # deadlock
    "55P03": Meaning.AWAY,  # lock timeout
    "57014": Meaning.AWAY,  # statement timeout
    "57P01": Meaning.AWAY,  # shutdown
    "57P02": Meaning.AWAY,  # crash of another backend
    "57P03": Meaning.AWAY,  # starting up
    "57P05": Meaning.AWAY,  # idle session timeout
    "22021": Meaning.UNKEEPABLE,  # bytes that are not UTF-8, NUL among them
    "22P02": Meaning.UNKEEPABLE,  # not the text of a UUID, a number, …
    "22P05": Meaning.UNKEEPABLE,  # \u0000 or a lone surrogate in JSON
    "54000": Meaning.UNKEEPABLE,  # longer than any jsonb may be
    "54001": Meaning.UNKEEPABLE,  # nested deeper than the parser goes
    "42883": Meaning.MISSING,
    "PGRST000": Meaning.UNSENT,  # it could not connect to Postgres
    "PGRST001": Meaning.AWAY,  # its connection was lost
    "PGRST002": Meaning.UNSENT,  # it could not read the schema yet
    "PGRST003": Meaning.UNSENT,  # none of its connections came free
    "PGRST202": Meaning.MISSING,  # no such function in the schema it has read
    "PGRST3": Meaning.LOCKED_OUT,  # the token that the key stands for
    # What that token claims: most often that it was made in a second to which PostgREST's clock has not come.
    "PGRST303": Meaning.UNSENT,
}
# Of whoever is before PostgREST and answers in its place. All others: nobody knows what became of the call.
_STATUSES: Mapping[int, Meaning] = {
    HTTPStatus.UNAUTHORIZED: Meaning.LOCKED_OUT,
    HTTPStatus.FORBIDDEN: Meaning.LOCKED_OUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Meaning.OUR_FAULT,
}
_LENGTHS = sorted({len(code) for code in _MEANINGS}, reverse=True)

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


def meaning_of(code: str) -> Meaning:
    """
    Args:
        code: an SQLSTATE or one of PostgREST's own.
    """
    known = (_MEANINGS.get(code[:length]) for length in _LENGTHS)
    return next((each for each in known if each is not None), Meaning.OUR_FAULT)


def meaning_of_status(status: int) -> Meaning:
    """Of an answer that is not PostgREST's."""
    return _STATUSES.get(status, Meaning.AWAY)


def error_of(sqlstate: str, *, message: str, detail: str | None) -> HeavyError:
    """The error a failed statement stands for; its text holds no SQL, host or credential."""
    meaning = meaning_of(sqlstate)
    return _refusal(message, _facts(detail)) if meaning is Meaning.REFUSED else error_without_facts(meaning)


def error_without_facts(meaning: Meaning) -> HeavyError:
    """What is said when nothing is known but that."""
    match meaning:
        case Meaning.AWAY | Meaning.UNSENT | Meaning.LOCKED_OUT:
            return DatabaseUnavailable(NO_ANSWER)
        case Meaning.UNKEEPABLE:
            return InvalidRequest(UNKEEPABLE)
        case Meaning.MISSING | Meaning.OUR_FAULT | Meaning.REFUSED:
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
