"""How a run ends, decided from what happened to it; no I/O.

Three kinds of stopping are never mixed: the user cancels (terminal), the lease is lost (write nothing), the
process shuts down (another one goes on).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from foundation.errors import DeadlineExceeded, HeavyError, Json, ModelUnavailable
from foundation.workers import JobCrashed, JobFailed
from heavy_agents.credits import Blame
from heavy_agents.events import EventTooLarge, encode, tidy
from heavy_agents.runs.answer import AgentFailed, Answer, CreditExhausted

__all__ = ["Ending", "Stop", "failed", "stopped", "succeeded"]

MAX_ANSWER_BYTES = 1024 * 1024


class Stop(StrEnum):
    """Why a run is stopped from outside."""

    CANCEL = "cancel"
    DEADLINE = "deadline"
    LOST = "lost"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class Ending:
    """`status` succeeded, failed or cancelled; `code` and `error` unless it succeeded.

    `is_unmeant`: the agent stopped with an error that is nobody's words: a mistake in its code.
    """

    status: str
    blame: Blame
    code: str | None = None
    error: str | None = None
    response: str | None = None
    output: Json = None
    is_unmeant: bool = False

    @property
    def is_platforms(self) -> bool:
        """Whether the run could have been expected to succeed, whoever is charged for it."""
        return self.blame is Blame.PLATFORM or self.is_unmeant


def succeeded(answer: Answer) -> Ending:
    """The ending an answer makes; one that cannot be stored is the agent's own error."""
    try:
        response, output = str(tidy(answer.response)), tidy(answer.output)
        size_bytes = len(encode(output)) + len(encode(response))
    except TypeError as error:
        return failed(error)
    if size_bytes > MAX_ANSWER_BYTES:
        return failed(AgentFailed("the answer is larger than 1 MB; large results belong in artifacts"))
    return Ending("succeeded", Blame.NOBODY, response=response, output=output)


def stopped(stop: Stop, *, has_own_deadline: bool) -> Ending:
    """The ending of a run the user cancelled or whose deadline has passed; the others have none.

    Args:
        has_own_deadline: the agent's owner set it, so what was used until then is paid.
    """
    if stop is Stop.CANCEL:
        return Ending("cancelled", Blame.USER, "cancelled", "cancelled by the user")
    blame = Blame.USER if has_own_deadline else Blame.PLATFORM
    return Ending("failed", blame, "deadline_exceeded", "the run passed its deadline")


def failed(error: BaseException) -> Ending:
    """What an exception that left the agent means for the person who asked. Causes stay inside."""
    match error:
        case BaseExceptionGroup(exceptions=[first, *_]):
            # Steps in a task group; the first that failed has ended the others.
            return failed(first)
        case AgentFailed():
            return _failed(Blame.USER, "agent_error", str(tidy(error.message)))
        case CreditExhausted():
            return _failed(Blame.BUDGET, "credit_exhausted", "the credits held for this run are used up")
        case EventTooLarge():
            return _failed(Blame.USER, "agent_error", str(error))
        case JobFailed():
            # The input was checked before it was accepted.
            return _unmeant("the computation failed on this input")
        case DeadlineExceeded():
            return _failed(Blame.PLATFORM, "deadline_exceeded", error.detail)
        case JobCrashed():
            return _failed(
                Blame.PLATFORM, "computation_crashed", "the computation needed more than it may take"
            )
        case ModelUnavailable():
            return _failed(Blame.PLATFORM, error.code, error.detail)
        case HeavyError():
            return _failed(Blame.PLATFORM, error.code, "the run could not go on; nothing is charged")
        case _:
            return _unmeant("the agent stopped with an error of its own")


def _failed(blame: Blame, code: str, error: str) -> Ending:
    return Ending("failed", blame, code, error)


def _unmeant(error: str) -> Ending:
    return Ending("failed", Blame.USER, "agent_error", error, is_unmeant=True)
