"""What another backend's answers mean for our run: whose fault it is, whether asking again can help. Pure.

The sentences are our own, but for what an agent there says to the person who asked: the words of a server may
hold anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from foundation.errors import BackendFailed, DeadlineExceeded, Json, ModelUnavailable
from heavy_agents.agents.remote.errors import Away, Refused
from heavy_agents.credits import Usage
from heavy_agents.runs import AgentFailed, Answer

__all__ = ["FAILED", "answer_of", "failure_of", "judge", "usage_of"]

FAILED: Final = "the agent's own backend failed"
MAX_SENTENCE: Final = 1000
LONGEST_WAIT_S: Final = 60
# Ours to mend, or a matter of keys that change: a moment later it may be taken.
PASSING: Final = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
)
ASKED_WRONGLY: Final = frozenset({HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})

# Any: a message or a document as the other's JSON gives it; every member is checked before use.
Document = Mapping[str, Any]


def judge(status: int, *, retry_after: str | None) -> Away | Refused:
    """What becomes of a request that was answered with no success."""
    why = f"status_{status}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in PASSING:
        busy = status == HTTPStatus.TOO_MANY_REQUESTS
        return Away(why, retry_after_s=_seconds(retry_after), is_busy=busy)
    if status in ASKED_WRONGLY:
        return Refused(why, AgentFailed("the agent's own backend does not take this conversation"))
    return Refused(why, BackendFailed(FAILED))


def answer_of(done: Document) -> Answer:
    """Raises Refused: it is none."""
    response = done.get("response")
    if not isinstance(response, str):
        raise Refused("malformed_end", BackendFailed(FAILED))
    return Answer(response, done.get("output"))


def failure_of(error: Document) -> Exception:
    """What our run ends with when that one has failed, or was ended there by somebody else."""
    match error.get("code"):
        case "agent_error":
            said = error.get("error")
            return AgentFailed(said[:MAX_SENTENCE] if isinstance(said, str) and said else FAILED)
        case "model_unavailable":
            return ModelUnavailable("the model provider of the agent's own backend failed; try again later")
        case "deadline_exceeded":
            return DeadlineExceeded("the run passed the deadline of the agent's own backend")
        case _:
            return BackendFailed(FAILED)


def usage_of(told: object) -> Usage:
    """What a run has used, as far as it can be read; truths, negative and absurd counts are none."""
    if not isinstance(told, dict):
        return Usage()
    counts: dict[str, Json] = {name: n for name, n in told.items() if type(n) is int and 0 <= n < 10**12}
    return Usage.from_json(counts)


def _seconds(retry_after: str | None) -> float:
    text = (retry_after or "").strip()
    return min(int(text[:6]), LONGEST_WAIT_S) if text.isascii() and text.isdecimal() else 0
