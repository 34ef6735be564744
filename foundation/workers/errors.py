"""How a job can end other than with a result, and whose fault that is.

HeavyError
├── JobFailed          500 agent_error         the job raised: its own error
├── PoolBusy           503 workers_busy        never started: too many others wait
├── InternalError
│   ├── JobCrashed         internal_error      its process died: the platform's
│   └── TargetNotAllowed   internal_error      a programming mistake
└── DeadlineExceeded
    └── JobTimedOut        deadline_exceeded   it was ended at its limit: the platform's
"""

from __future__ import annotations

from foundation.errors import DeadlineExceeded, HeavyError, InternalError

__all__ = ["JobCrashed", "JobFailed", "JobTimedOut", "PoolBusy", "TargetNotAllowed"]


class JobFailed(HeavyError):
    """The job's function raised, or its result is not JSON or too large.

    `error_type` is the exception's class name, `message` its text, `trace` (for logs only) its traceback.
    """

    code = "agent_error"

    def __init__(self, *, error_type: str, message: str, trace: str = "") -> None:
        super().__init__(message or error_type)
        self.error_type = error_type
        self.message = message
        self.trace = trace


class JobCrashed(InternalError):
    """The process died under the job: out of memory, a segmentation fault, `os._exit`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the computation's process {reason}")
        self.reason = reason


class JobTimedOut(DeadlineExceeded):
    """The job was ended, with everything it had started, at its limit."""

    def __init__(self, *, timeout_s: float) -> None:
        super().__init__(f"the computation took longer than its {timeout_s:g} s")
        self.timeout_s = timeout_s


class PoolBusy(HeavyError):
    """The job was never started: the queue is full, or no process came free in time."""

    code = "workers_busy"
    status = 503
    retryable = True

    def __init__(self, *, waiting: int) -> None:
        super().__init__(f"all computing processes are busy and {waiting} jobs wait; try again soon")
        self.waiting = waiting

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "5"}


class TargetNotAllowed(InternalError):
    """The pool runs only functions under the prefixes it was made for."""

    def __init__(self, target: str) -> None:
        super().__init__(f"{target!r} is not a function this pool may run")
        self.target = target
