"""Which faults there are."""

from __future__ import annotations

from tests.hardening.fault import Fault
from tests.hardening.faults import (
    canaries,
    cancel,
    clocks,
    explore,
    idempotency,
    idor,
    kill9,
    malformed,
    nats,
    overdraft,
    poison,
    rescue,
    sigterm,
    slow_readers,
    slowloris,
    ssrf,
    tokens,
    zombie,
)

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
