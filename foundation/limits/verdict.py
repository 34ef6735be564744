"""What the limiter answers, and how a client is told.

Pure. Source of the two fields: draft-ietf-httpapi-ratelimit-headers-11.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

from foundation.errors import RateLimited

__all__ = ["LimitVerdict", "RequestLimitReached"]

POLICY_NAME: Final = "requests"
WINDOW_S: Final = 60


@dataclass(frozen=True, slots=True)
class LimitVerdict:
    """Whether one more request is fine.

    quota: requests a window of `window_s` seconds.
    remaining: of them, after this request.
    reset_s: whole seconds until the window ends, at least 1.
    """

    allowed: bool
    quota: int
    window_s: int
    remaining: int
    reset_s: int

    @classmethod
    def of_a_minute(cls, *, allowed: bool, quota: int, remaining: int, left_s: float) -> Self:
        """
        Args:
            left_s: until the window ends.
        """
        reset_s = min(max(1, math.ceil(left_s)), WINDOW_S)
        return cls(allowed=allowed, quota=quota, window_s=WINDOW_S, remaining=remaining, reset_s=reset_s)

    def headers(self) -> dict[str, str]:
        """`RateLimit` and `RateLimit-Policy`, for any answer, refused or not."""
        return {
            "RateLimit-Policy": f'"{POLICY_NAME}";q={self.quota};w={self.window_s}',
            "RateLimit": f'"{POLICY_NAME}";r={self.remaining};t={self.reset_s}',
        }

    def raise_if_refused(self) -> None:
        """
        Raises:
            RequestLimitReached: the request may not go on.
        """
        if not self.allowed:
            raise RequestLimitReached(self)


class RequestLimitReached(RateLimited):
    """One caller asks too often; the answer says when to come back."""

    def __init__(self, verdict: LimitVerdict) -> None:
        super().__init__(
            retry_after_s=verdict.reset_s, policy=f"{verdict.quota} requests in {verdict.window_s} s"
        )
        self.verdict = verdict

    def headers(self) -> dict[str, str]:
        return super().headers() | self.verdict.headers()
