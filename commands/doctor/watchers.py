"""What there is to say of those who watch the server: the collector of traces, and Sentry.

Pure.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from commands.doctor.facts import WebFacts
from commands.doctor.finding import Broken, Finding, off, ok, warning, wrong
from foundation.settings import Settings

__all__ = ["report_findings", "trace_findings"]

TRACES, REPORTS = "traces", "reports"
VARIABLE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
REFUSING: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


def trace_findings(found: WebFacts | Broken | None, settings: Settings) -> list[Finding]:
    if found is None:
        return [off(TRACES, f"{VARIABLE} is not set: nothing is traced")]
    if isinstance(found, Broken):
        return [wrong(TRACES, found.why, f"check {VARIABLE} and the way to it")]
    match found.status:
        case None:
            return [wrong(TRACES, found.failure, f"check {VARIABLE}, and that the collector runs")]
        case status if status in REFUSING:
            says = f"{found.place} refuses the spans ({status})"
            return [wrong(TRACES, says, "set OTEL_EXPORTER_OTLP_HEADERS to what it wants")]
        case status if not HTTPStatus(200) <= status < HTTPStatus(300):
            says = f"{found.place} takes no spans there ({status})"
            todo = "give the address of OTLP over HTTP, often port 4318 and not 4317"
            return [wrong(TRACES, says, todo)]
    if settings.otel_traces_sampler_arg == 0:
        says = f"{found.place} takes spans, but none is kept"
        return [warning(TRACES, says, "set OTEL_TRACES_SAMPLER_ARG above 0")]
    return [
        ok(TRACES, f"{found.place} takes spans; {settings.otel_traces_sampler_arg:.4g} of the traces is kept")
    ]


def report_findings(settings: Settings) -> list[Finding]:
    """Nothing is asked of Sentry: a report to try it would be a fault somebody looks into."""
    if settings.sentry_dsn is None:
        return [off(REPORTS, "SENTRY_DSN is not set: faults are in the log only")]
    host = urlsplit(settings.sentry_dsn.get_secret_value()).hostname
    return [ok(REPORTS, f"faults are reported to {host}, which was not asked")]
