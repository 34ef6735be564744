"""Which faults there are."""

from __future__ import annotations

from tests.hardening.fault import Fault
from tests.hardening.faults import ack_loss, idempotency, overdraft

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = (overdraft.FAULT, idempotency.FAULT, ack_loss.FAULT)
