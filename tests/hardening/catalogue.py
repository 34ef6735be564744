"""Which faults there are."""

from __future__ import annotations

from tests.hardening.fault import Fault
from tests.hardening.faults import (
    canaries,
    clocks,
    explore,
    idempotency,
    idor,
    malformed,
    nats,
    overdraft,
    slow_readers,
    slowloris,
    ssrf,
    tokens,
)

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = (
    overdraft.FAULT,
    idempotency.FAULT,
    nats.FAULT,
    slow_readers.FAULT,
    slowloris.FAULT,
    clocks.FAULT,
    explore.FAULT,
    malformed.FAULT,
    tokens.FAULT,
    ssrf.FAULT,
    idor.FAULT,
    canaries.FAULT,
)
