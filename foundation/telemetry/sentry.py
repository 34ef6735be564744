"""Our own faults, reported to Sentry: one event for the same mistake a minute, however often it is made.

The SDK's client, its scopes and its integrations are not used: they patch libraries, and send what they find.
An event is put together here, of what `faults` lets through and the stack of the exception without its
variables, and cleaned like a log line; of the SDK come the forms of stacks, envelopes and DSNs.

Loaded only where there is a DSN.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from sentry_sdk.envelope import Envelope, Item, PayloadRef
from sentry_sdk.utils import Dsn, event_from_exception

from foundation.clock import Clock
from foundation.telemetry.courier import Courier, Freight, Post
from foundation.telemetry.failing import failure_of
from foundation.telemetry.faults import Fault, tap_faults
from foundation.telemetry.flood import Flood
from foundation.telemetry.redaction import Redactor

__all__ = ["Sentry"]

CAPACITY: Final = 50
STACKS: Final = {
    "include_local_variables": False,
    "include_source_context": True,
    "max_value_length": 1024,
}

Event = dict[str, Any]  # Any: JSON in the shape Sentry gives it


class Sentry:
    """A service: what fails between its start and its stop is reported."""

    def __init__(
        self,
        dsn: str,
        post: Post,
        *,
        clock: Clock,
        redactor: Redactor,
        about: dict[str, str],
        lost: Callable[[int], None],
    ) -> None:
        """
        Args:
            about: members of every event: `release`, `environment`, `server_name`.
            lost: is told how many reports will never arrive.
        """
        auth = Dsn(dsn).to_auth(about["release"])
        freight: Freight[Event] = Freight(
            name="reports",
            url=auth.get_api_url(),
            headers={"x-sentry-auth": auth.to_header(), "content-type": "application/x-sentry-envelope"},
            pack=_pack,
            capacity=CAPACITY,
            batch=1,
            every_s=60.0,
            lost=lost,
        )
        self._courier = Courier(freight, post)
        self._clock = clock
        self._redactor = redactor
        self._about = about
        self._flood = Flood()
        self._untap: Callable[[], None] | None = None

    async def start(self) -> None:
        await self._courier.start()
        self._untap = tap_faults(self._report)

    async def drain(self) -> None:
        """Go on reporting: a drain can fail as well."""

    async def stop(self) -> None:
        if self._untap is not None:
            self._untap()
        await self._courier.stop()

    def _report(self, fault: Fault) -> None:
        """May be called in any thread."""
        unsent = self._flood.unsent(fault.fingerprint, self._clock.monotonic())
        if unsent is None:
            return
        event = {
            **self._about,
            "event_id": uuid4().hex,
            "timestamp": datetime.now(UTC).isoformat(),
            "platform": "python",
            "level": "error",
            "logger": fault.logger,
            "logentry": {"message": fault.name},
            "fingerprint": list(fault.fingerprint),
            "tags": {**fault.told, "event": fault.name, "unsent": str(unsent)},
            **_exception(fault.error),
        }
        self._courier.put(self._redactor.fields(event))


def _exception(error: BaseException | None) -> Event:
    if error is None:
        return {}
    event, _ = event_from_exception(error, STACKS)
    raised: list[Event] = event["exception"]["values"]
    for each in raised:
        # The text stays in the log, under the same request and run.
        each["value"] = ""
        for frame in (each.get("stacktrace") or {}).get("frames", []):
            path = str(frame.pop("abs_path", ""))
            frame["in_app"] = not path.startswith((sys.prefix, sys.base_prefix))
    raised[-1]["value"] = failure_of(error)
    return {"exception": {"values": raised}}


def _pack(events: Sequence[Event]) -> bytes:
    (event,) = events
    envelope = Envelope(headers={"event_id": event["event_id"], "sent_at": event["timestamp"]})
    envelope.add_item(Item(PayloadRef(json=event), type="event"))
    packed: bytes = envelope.serialize()
    return packed
