"""How many retries the whole process may spend: a bucket that calls fill and retries empty.

Pure. When a provider is down, each of thousands of calls would be tried three times, and the flood would keep
it down. So a call puts a fifth of a retry in, a retry takes a whole one out, and at most ten are kept: a
short trouble is ridden out, in a long one only every fifth call is tried again.

Source: the retry throttling of gRPC (proposal A6), and of the AWS SDKs.
"""

from __future__ import annotations

__all__ = ["RetryBudget"]

# In fifths of a retry: integers do not drift.
PER_CALL = 1
PER_RETRY = 5
MOST = 10 * PER_RETRY


class RetryBudget:
    """Full at the start, so that the first calls of a process may be retried too."""

    def __init__(self) -> None:
        self._fifths = MOST

    @property
    def retries(self) -> int:
        """How many could be taken now; 0 to 10."""
        return self._fifths // PER_RETRY

    def deposit(self) -> None:
        """For each call, once, however often it is tried."""
        self._fifths = min(MOST, self._fifths + PER_CALL)

    def take(self) -> bool:
        """For one retry; false when there is none left, and then it must not be made."""
        if self._fifths < PER_RETRY:
            return False
        self._fifths -= PER_RETRY
        return True
