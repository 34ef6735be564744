"""What a session tells its user about a call that never reached the server's tool."""

from __future__ import annotations

__all__ = ["SessionLost"]


class SessionLost(Exception):
    """The server does not know the session any more; what was sent on it was not done."""
