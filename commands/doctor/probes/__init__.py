"""Asking the outside world: each probe brings plain facts, and decides nothing."""

from commands.doctor.probes.database import probe_database
from commands.doctor.probes.nats_server import probe_nats
from commands.doctor.probes.port import probe_port
from commands.doctor.probes.redis_server import probe_redis
from commands.doctor.probes.web import probe_collector, probe_model, probe_project

__all__ = [
    "probe_collector",
    "probe_database",
    "probe_model",
    "probe_nats",
    "probe_port",
    "probe_project",
    "probe_redis",
]
