"""How a message on a socket is counted: by its type, and by the status a request would have got."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from foundation.errors import HeavyError, InternalError, Json
from foundation.telemetry import Metrics
from routing.socket.connection import Left
from routing.socket.farewell import Farewell
from routing.socket.inbound import MODELS

__all__ = ["heard"]

DONE: Final = 200
UNKNOWN: Final = "unknown"


@contextmanager
def heard(metrics: Metrics, document: dict[str, Json]) -> Iterator[None]:
    """Count `document` once it is dealt with; whatever is raised meanwhile says how, and passes."""
    status = DONE
    try:
        yield
    except HeavyError as error:
        status = error.status
        raise
    except (Left, Farewell):
        raise
    except Exception:
        status = InternalError.status
        raise
    finally:
        kind = str(document["type"])
        label = kind if kind in MODELS else UNKNOWN
        metrics.socket_messages_total.labels(type=label, status=str(status)).inc()
