"""Which faults there are."""

from __future__ import annotations

from tests.hardening.fault import Fault
from tests.hardening.faults import cancel, idempotency, kill9, overdraft, poison, rescue, sigterm, zombie

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = (
    overdraft.FAULT,
    idempotency.FAULT,
    kill9.FAULT,
    rescue.FAULT,
    sigterm.FAULT,
    zombie.FAULT,
    cancel.FAULT,
    poison.FAULT,
)
