"""Which faults there are."""

from __future__ import annotations

from tests.hardening.fault import Fault
from tests.hardening.faults import (
    ack_loss,
    disconnect_billing,
    idempotency,
    overdraft,
    pg_restart,
    provider,
    resume,
)

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = (
    overdraft.FAULT,
    idempotency.FAULT,
    ack_loss.FAULT,
    pg_restart.FAULT,
    disconnect_billing.FAULT,
    resume.FAULT,
    provider.FAULT,
)
