"""What the process says about itself: log lines, metrics, health, and its own end when it hangs."""

from foundation.telemetry.health import Health, Readiness
from foundation.telemetry.logs import bind, configure
from foundation.telemetry.metrics import Metrics
from foundation.telemetry.observers import Observers, observers_of
from foundation.telemetry.pulse import Pulse
from foundation.telemetry.tracer import Attributes, Kind, Span, Tracer
from foundation.telemetry.watchdog import Watchdog, end_process

__all__ = [
    "Attributes",
    "Health",
    "Kind",
    "Metrics",
    "Observers",
    "Pulse",
    "Readiness",
    "Span",
    "Tracer",
    "Watchdog",
    "bind",
    "configure",
    "end_process",
    "observers_of",
]
