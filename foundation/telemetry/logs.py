"""How a log line is written: one JSON object a line on stdout, the same for our code and every library.

    {"event": "job_failed", "level": "warning", "timestamp": "…Z", "logger": "…", "request_id": "…", …}

The logger of the standard library ends in the same pipeline, so its lines are cleaned of secrets too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from typing import Literal
from uuid import UUID

import orjson
import structlog
from structlog.typing import EventDict, Processor

from foundation.telemetry.redaction import Redactor

__all__ = ["Level", "bind", "configure"]

Level = Literal["debug", "info", "warning", "error"]

# They say at "info" what our own lines say better, with whole addresses in it, and quote at "debug" every
# header that strangers have sent; so they are heard from "warning" on, whatever our own level is.
TALKATIVE = ("httpx", "httpx2", "httpcore", "httpcore2", "asyncio", "openai", "urllib3", "hpack")
OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access")


def configure(level: Level, *, secrets: Iterable[str] = ()) -> None:
    """Send every line at `level` and above to stdout. Repeats safely; the last call counts.

    Args:
        secrets: values that must never appear, besides what looks or is named like one.
    """
    structlog.configure(
        processors=_pipeline(Redactor(secrets)),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Stdout,
    )
    _adopt_standard_library(level)


def bind(
    *, request_id: str | None = None, run_id: UUID | str | None = None, trace_id: str | None = None
) -> AbstractContextManager[None]:
    """Name the request, run or trace in every line written inside the `with`, also by tasks started there."""
    names = {
        "request_id": request_id,
        "run_id": None if run_id is None else str(run_id),
        "trace_id": trace_id,
    }
    return structlog.contextvars.bound_contextvars(**{key: name for key, name in names.items() if name})


def _pipeline(redactor: Redactor) -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _add_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _Renderer(redactor),
    ]


def _add_name(logger: _Stdout, _method: str, event: EventDict) -> EventDict:
    if logger.name is not None:
        event.setdefault("logger", logger.name)
    return event


class _Renderer:
    """Makes the line; looks for secrets only where there may be one."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __call__(self, _logger: object, _method: str, event: EventDict) -> bytes:
        with suppress(TypeError):  # lone surrogates, integers above 64 bits, endless nesting
            line = orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)
            if self._redactor.is_clean(line):
                return line
        return orjson.dumps(self._redactor.fields(event))


class _Stdout:
    """Where lines go. Looks stdout up for each line, because it may be replaced; never raises."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def msg(self, line: bytes) -> None:
        with suppress(OSError, ValueError):  # a closed pipe is no reason to fail a run
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()

    debug = info = warning = error = critical = exception = log = msg


class _Adopt(logging.Handler):
    """Gives a standard library record to the pipeline."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except Exception:  # the arguments do not fit the text
            event = str(record.msg)
        level = min(logging.CRITICAL, max(logging.DEBUG, record.levelno // 10 * 10))
        structlog.get_logger(record.name).log(level, event, exc_info=record.exc_info)


def _adopt_standard_library(level: Level) -> None:
    logging.root.handlers[:] = [_Adopt()]
    logging.root.setLevel(level.upper())
    for name in OWN_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))
    logging.captureWarnings(True)
