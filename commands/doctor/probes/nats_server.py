"""Connecting to NATS as a replica would, and asking whether streams are on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.doctor.addresses import place_of
from commands.doctor.facts import Fault, ServiceFacts
from foundation.hints import open_nats
from foundation.settings import Settings

if TYPE_CHECKING:
    from nats.js import JetStreamContext

__all__ = ["probe_nats"]

WITHIN_S = 3


async def probe_nats(settings: Settings) -> ServiceFacts | None:
    """None when it is not set."""
    if settings.nats_url is None:
        return None
    from nats.errors import Error

    place, met = place_of(settings.nats_url), list[Exception]()

    async def note(error: Exception) -> None:
        met.append(error)

    try:
        client = await open_nats(
            settings.nats_url, name="switchyard doctor", within_s=WITHIN_S, on_error=note
        )
    except (Error, OSError, TimeoutError) as error:
        return _failed(place, [*met, error])
    told = client.connected_server_version
    try:
        has_streams = await _has_streams(client.jetstream(timeout=WITHIN_S))
        return ServiceFacts(place, f"{told.major}.{told.minor}.{told.patch}", has_streams)
    finally:
        await client.leave()


async def _has_streams(streams: JetStreamContext) -> bool:
    from nats.errors import Error

    try:
        await streams.account_info()
    except Error:
        return False
    return True


def _failed(place: str, errors: list[Exception]) -> ServiceFacts:
    """Its client says last that no server is left; what came before says why."""
    from nats.errors import SecureConnWantedError

    if any(isinstance(each, SecureConnWantedError) for each in errors):
        return ServiceFacts(place, fault=Fault.NOT_ENCRYPTED)
    texts = [str(each).lower() for each in errors]
    if any("authorization" in text or "authentication" in text for text in texts):
        return ServiceFacts(place, fault=Fault.BAD_LOGIN)
    # A time-out is an OSError too.
    if any(isinstance(each, TimeoutError) for each in errors):
        return ServiceFacts(place, fault=Fault.TOO_SLOW)
    if any(isinstance(each, OSError) for each in errors):
        return ServiceFacts(place, fault=Fault.NOBODY_THERE)
    return ServiceFacts(place, fault=Fault.OTHER, detail=type(errors[0]).__name__)
