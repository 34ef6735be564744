"""What can go wrong on the way out.

    InvalidRequest ── BlockedAddress      where the request would go is not allowed
    BackendFailed ─── OutboundFailed      it may be asked, and did not answer well
                      ├── OutboundTimeout
                      └── AnswerTooLarge

The texts name the host only: a path or query may hold a secret.
"""

from __future__ import annotations

from foundation.errors import BackendFailed, InvalidRequest

__all__ = ["AnswerTooLarge", "BlockedAddress", "OutboundFailed", "OutboundTimeout"]


class BlockedAddress(InvalidRequest):
    """The server does not let itself be sent there, whoever asks."""


class OutboundFailed(BackendFailed):
    """The other side could not be reached, or broke off, or does not speak HTTP."""


class OutboundTimeout(OutboundFailed):
    def __init__(self, *, host: str, timeout_s: float) -> None:
        super().__init__(f"{host} did not answer in full within {timeout_s:g} s")
        self.timeout_s = timeout_s


class AnswerTooLarge(OutboundFailed):
    """Counted after decompression, so a small compressed answer can be too large as well."""

    retryable = False

    def __init__(self, *, host: str, max_bytes: int) -> None:
        super().__init__(f"{host} answers with more than the {max_bytes} bytes taken")
        self.max_bytes = max_bytes
