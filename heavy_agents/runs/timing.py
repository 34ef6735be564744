"""The times a run's life is governed by; all are decided by the database's clock."""

from __future__ import annotations

__all__ = ["HEARTBEAT_RETRY_S", "HEARTBEAT_S", "IDLE_CLAIM_S", "PURGE_S", "QUEUE_DEADLINE_S", "REAP_S"]

HEARTBEAT_S = 1.0
HEARTBEAT_RETRY_S = 0.2
REAP_S = 1.0
IDLE_CLAIM_S = 2.0
PURGE_S = 3600.0
QUEUE_DEADLINE_S = 3600.0
