"""What can go wrong while finding out who asks, beyond a token that is simply not valid.

InvalidToken ──── MissingCredentials   nothing was offered at all
BackendFailed ─── KeysUnavailable      the token may be fine, but nobody can tell right now
"""

from __future__ import annotations

from foundation.errors import BackendFailed, InvalidToken

__all__ = ["KeysUnavailable", "MissingCredentials"]


class MissingCredentials(InvalidToken):
    def headers(self) -> dict[str, str]:
        """Without an error code, as RFC 6750, section 3.1, asks for when nothing was sent."""
        return {"WWW-Authenticate": "Bearer"}


class KeysUnavailable(BackendFailed):
    """Not a 401: a client that is told its good token is bad signs its user out."""

    def __init__(self, whose: str = "the project's") -> None:
        super().__init__(f"{whose} signing keys cannot be fetched right now; try again in a moment")

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "5"}
