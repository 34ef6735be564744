"""What is our own fault, as a log line says it: at `error` or above, whoever wrote it.

That is the one hook for reports: every boundary that catches what nobody expected writes such a line, so what
is not in the log is in no report. Of a line only what is named here goes on: not its texts, and of an
exception its class and where it came from, because a text may repeat what a user wrote.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import structlog
from structlog.typing import EventDict

from foundation.telemetry.failing import failure_of

__all__ = ["Fault", "tap_faults"]

SERIOUS: Final = frozenset({"error", "exception", "critical", "fatal"})
# As our own lines are called; what a library says may hold anything.
EVENT_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
TOLD: Final = frozenset(
    {"check", "code", "epoch", "kind", "request_id", "run_id", "service", "services", "status"}
    | {"target", "tool", "trace_id", "within_s", "work"}
)
MAX_VALUE_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Fault:
    """
    Attributes:
        name: what our line is called; of a library's, only that it is one.
        told: the members of the line that may be told.
        place: the innermost function of ours the exception passed, "module:function"; else a library's.
    """

    name: str
    logger: str
    told: Mapping[str, str]
    error: BaseException | None
    place: str

    @property
    def fingerprint(self) -> tuple[str, ...]:
        """The same for the same mistake, however often and for whomever it is made."""
        return (self.logger, self.name, "" if self.error is None else failure_of(self.error), self.place)


def tap_faults(tell: Callable[[Fault], None]) -> Callable[[], None]:
    """Tell of every fault from now on, until what is returned is called. What `tell` raises is dropped."""
    tap = _Tap(tell)
    structlog.configure(processors=[tap, *structlog.get_config()["processors"]])

    def untap() -> None:
        left = [each for each in structlog.get_config()["processors"] if each is not tap]
        structlog.configure(processors=left)

    return untap


class _Tap:
    """The first of the processors: those after it turn the exception into text."""

    def __init__(self, tell: Callable[[Fault], None]) -> None:
        self._tell = tell

    def __call__(self, logger: object, method: str, event: EventDict) -> EventDict:
        if method in SERIOUS:
            # A line must be written whatever becomes of its report.
            with suppress(Exception):
                self._tell(_fault(str(getattr(logger, "name", None) or ""), event))
        return event


def _fault(logger: str, event: EventDict) -> Fault:
    error = _error(event.get("exc_info"))
    name = str(event.get("event", ""))
    members = {**structlog.contextvars.get_contextvars(), **event}
    return Fault(
        name if EVENT_NAME.fullmatch(name) else "line_of_a_library",
        logger,
        {name: str(members[name])[:MAX_VALUE_CHARS] for name in sorted(TOLD & members.keys())},
        error,
        "" if error is None else _place(error.__traceback__),
    )


# Any: a line may be given an exception, a tuple, or true for the one that is being handled.
def _error(given: Any) -> BaseException | None:
    match given:
        case BaseException():
            return given
        case (_, BaseException() as error, _):
            return error
        case None | False:
            return None
        case _:
            return sys.exc_info()[1]


def _place(trace: TracebackType | None) -> str:
    ours = last = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        last = f"{trace.tb_frame.f_globals.get('__name__', '')}:{code.co_qualname}"
        if not code.co_filename.startswith((sys.prefix, sys.base_prefix, "<")):
            ours = last
        trace = trace.tb_next
    return ours or last
