"""Which faults there are."""

from __future__ import annotations

from tests.hardening.fault import Fault
from tests.hardening.faults import clocks, idempotency, nats, overdraft, slow_readers, slowloris

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = (
    overdraft.FAULT,
    idempotency.FAULT,
    nats.FAULT,
    slow_readers.FAULT,
    slowloris.FAULT,
    clocks.FAULT,
)
