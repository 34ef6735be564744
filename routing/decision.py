"""Where a run goes: answered at the edge, run here, forwarded to another backend, or refused; and why.

Pure. The edge function decides the same: `tests/golden/routing.json` holds both languages to one table.
What is wrong first is what the caller hears:

    1  400  the request cannot be read            before anything is decided
    2  401  nobody is proved to ask               before anything is decided
    3  402  insufficient_credits                  503 database_unavailable when nobody knows
    4  429  rate_limited                          503 database_unavailable when nobody knows
    5  404  agent_not_found                       unknown, or neither published nor one's own
    6       a light agent goes to the edge, whatever its row says of a backend
    7       a heavy one goes to its own backend if that is on the allow-list, else to ours; 503 not_configured
            where there is none

A `railway_url` is written by the agent's owner, and whoever it names is sent the caller's token. So its text
is compared and never used: what a run is forwarded to is an origin of the operator's list. An address has to
be written plainly, `https://name:port` and nothing else, because two URL parsers, ours and that of the edge,
may disagree about anything fancier.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from foundation.errors import (
    AgentNotFound,
    DatabaseUnavailable,
    HeavyError,
    InsufficientCredits,
    NotConfigured,
    RateLimited,
)
from foundation.origins import read_origin

__all__ = [
    "Decider",
    "Decision",
    "Edge",
    "FoundAgent",
    "Heavy",
    "LimitReached",
    "PlanLimit",
    "Question",
    "Refuse",
    "Remote",
    "Why",
    "decide",
    "read_origin",
]


class Decider(StrEnum):
    """Who decides: an edge function, or this backend, which is one itself."""

    EDGE = "edge"
    BACKEND = "backend"


class Why(StrEnum):
    """The reason as a word for logs and metrics, the same in both languages."""

    LIGHT_AGENT = "light_agent"
    HEAVY_AGENT = "heavy_agent"
    OWN_BACKEND = "own_backend"  # of the agent
    BACKEND_NOT_ALLOWED = "backend_not_allowed"  # the agent's own is not on the list, so it runs on ours
    CREDITS_UNKNOWN = "credits_unknown"
    CREDITS_SHORT = "credits_short"
    LIMIT_UNKNOWN = "limit_unknown"
    LIMIT_REACHED = "limit_reached"
    AGENT_UNKNOWN = "agent_unknown"
    NO_BACKEND = "no_backend"


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The plan allows no more for now; the facts are those of `switchyard_limits_take`."""

    retry_after_s: int
    policy: str
    quota: int


PlanLimit = Literal["within", "unknown"] | LimitReached


@dataclass(frozen=True, slots=True)
class FoundAgent:
    """What of an agent's row decides. A row that is not active counts as none."""

    is_published: bool
    is_owned: bool  # by the caller
    is_heavy: bool
    railway_url: str | None  # None or empty: the agent names no backend of its own


@dataclass(frozen=True, slots=True)
class Question:
    """
    Attributes:
        available_credits: None when the database did not say.
        needed_credits: the least there must be; 0 where nobody charges, and then nobody looks.
        agent: None when there is no such agent.
        allowed_backends: origins, as the operator wrote them; one that cannot be read allows nothing.
        has_backend: the edge knows one to send heavy runs to; does not matter where the backend decides.
    """

    decider: Decider
    available_credits: int | None
    limit: PlanLimit
    agent: FoundAgent | None
    allowed_backends: tuple[str, ...] = ()
    has_backend: bool = True
    needed_credits: int = 1


@dataclass(frozen=True, slots=True)
class Edge:
    """A light agent: answered at once where it was asked, without a run."""

    why: Why = Why.LIGHT_AGENT


@dataclass(frozen=True, slots=True)
class Heavy:
    """A run of this backend, or from the edge of the one that is configured."""

    why: Why


@dataclass(frozen=True, slots=True)
class Remote:
    """A run of the agent's own backend; `origin` is `https://host` or `https://host:port`, in lower case."""

    origin: str
    why: Why = Why.OWN_BACKEND


@dataclass(frozen=True, slots=True)
class Refuse:
    """`error` has the code, the sentence and the headers; raise it."""

    error: HeavyError
    why: Why


Decision = Edge | Heavy | Remote | Refuse


def decide(question: Question) -> Decision:
    """Never raises, whatever the texts in `question` are."""
    agent = question.agent
    if (refusal := _credits(question) or _limit(question.limit)) is not None:
        return refusal
    if agent is None or not (agent.is_published or agent.is_owned):
        error = AgentNotFound("no such agent, or it is neither published nor yours")
        return Refuse(error, Why.AGENT_UNKNOWN)
    return _heavy(question, agent.railway_url) if agent.is_heavy else Edge()


def _credits(question: Question) -> Refuse | None:
    needed, available = question.needed_credits, question.available_credits
    if needed < 1:
        return None
    if available is None:
        return _unknown(Why.CREDITS_UNKNOWN)
    if available < needed:
        return Refuse(InsufficientCredits(needed=needed, available=available), Why.CREDITS_SHORT)
    return None


def _limit(limit: PlanLimit) -> Refuse | None:
    match limit:
        case "within":
            return None
        case "unknown":
            return _unknown(Why.LIMIT_UNKNOWN)
        case LimitReached(retry_after_s, policy, quota):
            error = RateLimited(retry_after_s=retry_after_s, policy=policy, quota=quota)
            return Refuse(error, Why.LIMIT_REACHED)


def _unknown(why: Why) -> Refuse:
    """What cannot be asked is not taken for a yes."""
    return Refuse(DatabaseUnavailable("the database did not answer; try again"), why)


def _heavy(question: Question, railway_url: str | None) -> Decision:
    own = read_origin(railway_url) if railway_url else None
    if own is not None and own in _origins(question.allowed_backends):
        return Remote(own)
    if question.decider is Decider.EDGE and not question.has_backend:
        error = NotConfigured("heavy agents need a backend, and none is configured here")
        return Refuse(error, Why.NO_BACKEND)
    return Heavy(Why.BACKEND_NOT_ALLOWED if railway_url else Why.HEAVY_AGENT)


def _origins(addresses: Iterable[str]) -> frozenset[str]:
    return frozenset(filter(None, map(read_origin, addresses)))
