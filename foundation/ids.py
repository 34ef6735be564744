"""How things are named: runs, requests, workers and lease tokens."""

from __future__ import annotations

import os
import secrets
import socket
import time
from uuid import UUID, uuid4

__all__ = ["new_request_id", "new_run_id", "new_token", "new_worker_id"]


def new_run_id() -> UUID:
    """A version 7 UUID: sorts by creation time, so the newest rows of an index stay together.

    Source: RFC 9562, section 5.7.
    """
    unix_ms = time.time_ns() // 1_000_000
    value = (
        (unix_ms & (2**48 - 1)) << 80
        | 0x7 << 76
        | secrets.randbits(12) << 64
        | 0b10 << 62
        | secrets.randbits(62)
    )
    return UUID(int=value)


def new_token() -> UUID:
    """A lease token nobody can guess."""
    return uuid4()


def new_request_id() -> str:
    return secrets.token_hex(8)


def new_worker_id(replica: str | None = None) -> str:
    """Unique per process start: a restarted process must not be taken for its predecessor.

    Args:
        replica: what the platform calls this machine; its own name unless given.
    """
    return f"{(replica or socket.gethostname())[:100]}-{os.getpid()}-{secrets.token_hex(4)}"
