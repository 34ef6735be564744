"""What an exception is called where its text may not go: in spans and reports.

A text may repeat what a user, a model or a stranger's server said; a code or a class never does.
"""

from __future__ import annotations

import asyncio
from typing import Final

from foundation.errors import HeavyError

__all__ = ["CANCELLED", "failure_of"]

CANCELLED: Final = "cancelled"


def failure_of(error: BaseException) -> str:
    """The code of the error tree, or the class's name; of a group, the first one's."""
    match error:
        case BaseExceptionGroup(exceptions=[first, *_]):
            return failure_of(first)
        case HeavyError():
            return error.code
        case asyncio.CancelledError():
            return CANCELLED
        case _:
            return type(error).__name__
