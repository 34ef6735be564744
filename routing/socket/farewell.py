"""Why this server ends a socket: the close code, and the last message before it.

Pure. 4400 bad message · 4401 unauthenticated or expired · 4403 forbidden · 4429 limited · 1011 our fault ·
1012 restarting · 1013 try later. (1009, too big, and 4408, too slow, are the protocol's own.)
"""

from __future__ import annotations

from typing import Final

from foundation.errors import HeavyError, Json
from routing.socket.outbound import error_message, reconnect_message

__all__ = ["Farewell", "farewell", "restarting"]

BAD_MESSAGE: Final = 4400
INTERNAL: Final = 1011
RESTARTING: Final = 1012
TRY_LATER: Final = 1013


class Farewell(Exception):
    """The socket ends now. `message` is None when nothing more can be said."""

    def __init__(self, code: int, reason: str, message: dict[str, Json] | None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.message = message


def farewell(error: HeavyError) -> Farewell:
    """The end of a socket on which `error` happened and which cannot go on."""
    return Farewell(_code(error.status), error.code, error_message(error))


def restarting() -> Farewell:
    return Farewell(RESTARTING, "restarting", reconnect_message("restarting"))


def _code(status: int) -> int:
    match status:
        case 401 | 403 | 408 | 429:
            return 4000 + status
        case 502 | 503 | 504:
            return TRY_LATER
        case _ if status < 500:  # noqa: PLR2004 - the class of the status
            return BAD_MESSAGE
        case _:
            return INTERNAL
