"""What NATS and Redis say; both are extras, so one that is not set is fine.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from commands.doctor.facts import Fault, ServiceFacts
from commands.doctor.finding import Broken, Finding, off, ok, warning, wrong

__all__ = ["nats_findings", "redis_findings"]

NATS, REDIS = "NATS", "Redis"

FAULTS: Final[Mapping[Fault, tuple[str, str]]] = {
    Fault.NOBODY_THERE: ("nothing answers there", "check host and port in {variable}, and that it runs"),
    Fault.BAD_LOGIN: ("it refuses the login", "check user, password or token in {variable}"),
    Fault.NOT_ENCRYPTED: (
        "it is not encrypted, though the address says so",
        "turn on TLS there, or say {variable} without it",
    ),
    Fault.TOO_SLOW: ("it does not answer in time", "check host and port in {variable}, and the way to it"),
    Fault.OTHER: ("it cannot be used", "see its log; {variable} may name another kind of server"),
}


def nats_findings(found: ServiceFacts | Broken | None) -> list[Finding]:
    if found is None:
        return [off(NATS, "NATS_URL is not set: replicas learn of each other's runs from the database")]
    if isinstance(found, Broken) or found.fault is not None:
        return [_fault(NATS, found)]
    if not found.has_streams:
        return [
            warning(
                NATS, f"nats-server {found.version} at {found.place} has JetStream off", "start it with -js"
            )
        ]
    return [ok(NATS, f"nats-server {found.version} at {found.place}, JetStream on")]


def redis_findings(found: ServiceFacts | Broken | None) -> list[Finding]:
    if found is None:
        return [off(REDIS, "REDIS_URL is not set: every process counts request limits for itself")]
    if isinstance(found, Broken) or found.fault is not None:
        return [_fault(REDIS, found)]
    return [ok(REDIS, f"Redis {found.version} at {found.place}")]


def _fault(check: str, found: ServiceFacts | Broken) -> Finding:
    variable = f"{check.upper()}_URL"
    if isinstance(found, Broken):
        return wrong(check, found.why, f"check {variable} and the way to it")
    says, todo = FAULTS[found.fault or Fault.OTHER]
    detail = f" ({found.detail})" if found.detail else ""
    return wrong(check, f"{found.place}: {says}{detail}", todo.format(variable=variable))
