"""Processes for heavy computation, each of which can be ended at any moment with all it started."""

from foundation.workers.child import Report
from foundation.workers.errors import JobCrashed, JobFailed, JobTimedOut, PoolBusy, TargetNotAllowed
from foundation.workers.pool import WorkerPool
from foundation.workers.process import Progress

__all__ = [
    "JobCrashed",
    "JobFailed",
    "JobTimedOut",
    "PoolBusy",
    "Progress",
    "Report",
    "TargetNotAllowed",
    "WorkerPool",
]
