"""Which faults there are."""

from __future__ import annotations

from tests.hardening.fault import Fault
from tests.hardening.faults import canaries, explore, idempotency, idor, malformed, overdraft, ssrf, tokens

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = (
    overdraft.FAULT,
    idempotency.FAULT,
    explore.FAULT,
    malformed.FAULT,
    tokens.FAULT,
    ssrf.FAULT,
    idor.FAULT,
    canaries.FAULT,
)
