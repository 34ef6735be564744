"""Runs over one WebSocket: a client starts, follows, resumes and cancels several on a single connection.

A client comes in through `door` (origin, credentials, limits); its messages are read by `inbound` and
answered by `session`, and each run is followed by a task of `subscriptions`. `connection` sends within a
limit of time, and ends the wait for the next message when there is a reason to go; `farewell` gives each
reason its close code.
"""

from routing.socket.door import SOCKET_PROTOCOL, Door

__all__ = ["SOCKET_PROTOCOL", "Door"]
