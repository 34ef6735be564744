"""What an answer that is no 200 means: whose fault it is, and whether asking again can help.

Pure. The sentences are our own: what the provider says may hold keys, addresses and other people's names.

Source: the error codes of the OpenAI API reference; other servers leave them out or use only some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from foundation.errors import ModelUnavailable
from heavy_agents.llm.errors import AgentMistake
from heavy_agents.llm.prompt import Quirk

__all__ = ["Refusal", "Setback", "judge", "read_refusal", "unavailable"]

KEY_REFUSED = frozenset({401, 403})
ASKED_WRONGLY = frozenset({400, 413, 422})
MISSING_MODEL = frozenset({"model_not_found", "model_not_available"})
TOO_LONG = frozenset({"context_length_exceeded", "string_above_max_length", "request_too_large"})
FILTERED = frozenset({"content_filter", "content_policy_violation", "responsibleaipolicyviolation"})
NO_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
NOT_TAKEN = ("unsupported", "unknown", "unrecognized")
MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Refusal:
    """In lower case, "" where the provider gives none; `kind` is its `type`, which some use for the code."""

    status: int
    code: str = ""
    kind: str = ""
    param: str = ""

    def says(self, codes: frozenset[str]) -> bool:
        return self.code in codes or self.kind in codes


@dataclass(frozen=True, slots=True)
class Setback:
    """A try without a turn.

    Attributes:
        error: what the asker gets if nothing else can be tried.
        why: a word for the log.
        outcome: as the metrics count it.
        may_retry: the same request may fare better.
        quirk: the parameter without which it may fare better.
        retries: how many the client has made within this try.
        is_key_refused: the operator must act.
    """

    error: ModelUnavailable | AgentMistake
    why: str
    outcome: str = "unavailable"
    may_retry: bool = False
    quirk: Quirk | None = None
    retries: int = 0
    is_key_refused: bool = False


def unavailable(sentence: str, *, why: str, retries: int = 0) -> Setback:
    return Setback(ModelUnavailable(sentence), why, retries=retries)


def read_refusal(status: int, body: object) -> Refusal:
    """What a body says, which may be anything: a document, its `error` alone, or no document at all."""
    error = body.get("error", body) if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return Refusal(status)
    param = _word(error.get("param")) or _located(error)
    return Refusal(status, _word(error.get("code")), _word(error.get("type")), param)


def is_out_of_money(refusal: Refusal) -> bool:
    return refusal.says(NO_MONEY) or refusal.status == HTTPStatus.PAYMENT_REQUIRED


def judge(refusal: Refusal, *, model: str, retries: int = 0) -> Setback:
    """What becomes of a try that was answered like this."""
    why = f"status_{refusal.status}"
    if refusal.status == HTTPStatus.UNAUTHORIZED or (
        refusal.status in KEY_REFUSED and not refusal.says(MISSING_MODEL)
    ):
        error = ModelUnavailable("the model provider refused the server's key")
        return Setback(error, why, retries=retries, is_key_refused=True)
    if is_out_of_money(refusal):
        return unavailable(
            "the server's account at the model provider is used up", why="quota", retries=retries
        )
    if (sentence := _mistake(refusal, model)) is not None:
        return Setback(AgentMistake(sentence), why, outcome="refused", retries=retries, quirk=_quirk(refusal))
    if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
        sentence = "the model provider is limiting how often it is asked; try again later"
        return unavailable(sentence, why=why, retries=retries)
    return unavailable("the model provider failed; try again later", why=why, retries=retries)


def _mistake(refusal: Refusal, model: str) -> str | None:
    if refusal.status == HTTPStatus.NOT_FOUND or refusal.says(MISSING_MODEL):
        return f"the model {model[:MAX_NAME]!r} is not offered by the configured provider"
    if refusal.status not in ASKED_WRONGLY:
        return None
    if refusal.says(TOO_LONG) or refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "the conversation is too long for the model"
    if refusal.says(FILTERED):
        return "the content filter of the model provider refused the conversation"
    return "the model refused this request as invalid"


def _quirk(refusal: Refusal) -> Quirk | None:
    if refusal.status not in ASKED_WRONGLY or refusal.param not in set(Quirk):
        return None
    is_untaken = not refusal.code or refusal.code.startswith(NOT_TAKEN)
    return Quirk(refusal.param) if is_untaken else None


def _word(value: object) -> str:
    return value.lower() if isinstance(value, str) else ""


def _located(error: Mapping[str, object]) -> str:
    """The parameter as FastAPI servers name it: {"detail": [{"loc": ["body", "stream_options"]}]}."""
    detail = error.get("detail")
    first = detail[0] if isinstance(detail, list) and detail else None
    place = first.get("loc") if isinstance(first, Mapping) else None
    return (
        next((word for word in map(_word, place) if word in set(Quirk)), "")
        if isinstance(place, list)
        else ""
    )
