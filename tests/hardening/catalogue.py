"""Which faults there are."""

from __future__ import annotations

from tests.hardening.fault import Fault
from tests.hardening.faults import (
    ack_loss,
    canaries,
    cancel,
    clocks,
    disconnect_billing,
    explore,
    idempotency,
    idor,
    kill9,
    malformed,
    nats,
    overdraft,
    pg_restart,
    poison,
    provider,
    rescue,
    resume,
    sigterm,
    slow_readers,
    slowloris,
    ssrf,
    tokens,
    zombie,
)

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = (
    kill9.FAULT,
    sigterm.FAULT,
    rescue.FAULT,
    zombie.FAULT,
    pg_restart.FAULT,
    ack_loss.FAULT,
    overdraft.FAULT,
    idempotency.FAULT,
    disconnect_billing.FAULT,
    resume.FAULT,
    cancel.FAULT,
    poison.FAULT,
    provider.FAULT,
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
