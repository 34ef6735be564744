"""Who calls, before anything else of a request is looked at, and how often that caller may.

A proved caller is counted as such, so that an edge function speaking for many users does not use up one limit
for all. Who cannot prove anything is counted by address, in this process alone.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from foundation.errors import HeavyError, WrongCaller
from foundation.identity import Caller, CallerKind
from foundation.limits import LimitVerdict, address_key, caller_key
from routing.cursors import parse_run_id
from routing.openapi import API_KEY, BACKEND, SERVICE, USER
from routing.parameters import RunId
from routing.rooms import Rooms, rooms_of

__all__ = [
    "CallerOf",
    "ReaderOf",
    "RoomsOf",
    "SenderOf",
    "UserOf",
    "caller_of",
    "client_key",
    "reader_of",
    "sender_of",
    "spoken_for",
    "user_of",
]

RoomsOf = Annotated[Rooms, Depends(rooms_of)]


async def caller_of(
    request: Request,
    rooms: RoomsOf,
    # Only for the API's description: the authenticator reads the headers itself.
    _bearer: object = USER,
    _api_key: object = API_KEY,
    _service: object = SERVICE,
) -> Caller:
    """
    Raises:
        InvalidToken, ConflictingCredentials, InvalidRequest, KeysUnavailable, DatabaseUnavailable: as the
            authenticator says.
        RateLimited: this caller, or this address, asks too often.
    """
    try:
        caller = await rooms.authenticator.authenticate(request.headers)
    except HeavyError:
        tell(request, rooms.limits.strangers.check(client_key(request, rooms)))
        raise
    tell(request, await rooms.limits.callers.check(caller_key(caller.user_id)))
    return caller


async def user_of(request: Request, rooms: RoomsOf, _bearer: object = USER) -> Caller:
    """A user who is there in person.

    Raises:
        WrongCaller: a key or the service speaks for the user.
    """
    caller = await caller_of(request, rooms)
    if caller.via is not CallerKind.USER:
        raise WrongCaller("only a signed-in user may do this; send the user's access token alone")
    return caller


async def reader_of(
    request: Request,
    rooms: RoomsOf,
    run_id: RunId,
    _bearer: object = USER,
    _api_key: object = API_KEY,
    _service: object = SERVICE,
    _backend: object = BACKEND,
) -> Caller:
    """As `caller_of`, and another backend, for the one run that its token names.

    Raises:
        RunNotFound: the other backend's token names another run. Who else may see a run is found out with
            what is asked of it.
    """
    backend = await backend_of(request, rooms)
    if backend is None or backend.forwarded is None:
        return await caller_of(request, rooms)
    await rooms.runs.check_key(backend.user_id, parse_run_id(run_id), key=backend.forwarded.key)
    return backend


async def backend_of(request: Request, rooms: Rooms) -> Caller | None:
    """Another backend; None if it is somebody else who asks.

    Raises:
        InvalidToken, ConflictingCredentials, KeysUnavailable: as the authenticator says.
        RateLimited: it asks too often for this user of its own.
    """
    try:
        caller = await rooms.authenticator.backend(request.headers)
    except HeavyError:
        tell(request, rooms.limits.strangers.check(client_key(request, rooms)))
        raise
    if caller is not None:
        tell(request, await rooms.limits.callers.check(caller_key(caller.user_id)))
    return caller


async def sender_of(
    request: Request, rooms: RoomsOf, _service: object = SERVICE, _backend: object = BACKEND
) -> Caller | None:
    """Another backend, or None for the service; whom that speaks for stands in the body, which is read later.

    Raises:
        WrongCaller: somebody else who is proved.
    """
    if (backend := await backend_of(request, rooms)) is not None:
        return backend
    try:
        rooms.authenticator.require_service(request.headers)
    except WrongCaller:
        await caller_of(request, rooms)
        raise
    except HeavyError:
        tell(request, rooms.limits.strangers.check(client_key(request, rooms)))
        raise
    return None


async def spoken_for(request: Request, rooms: Rooms, user_id: UUID) -> Caller:
    """The user the service speaks for in its body, counted as that user.

    Raises:
        ConflictingCredentials: a header names another user.
        RateLimited: the user asks too often.
    """
    caller = await rooms.authenticator.authenticate_service(request.headers, user_id=user_id)
    tell(request, await rooms.limits.callers.check(caller_key(caller.user_id)))
    return caller


CallerOf = Annotated[Caller, Depends(caller_of)]
ReaderOf = Annotated[Caller, Depends(reader_of)]
SenderOf = Annotated[Caller | None, Depends(sender_of)]
UserOf = Annotated[Caller, Depends(user_of)]


def tell(request: Request, verdict: LimitVerdict) -> None:
    """The answer tells what is left, refused or not (see `routing.middleware.headers`)."""
    request.state.rate_limit = verdict
    verdict.raise_if_refused()


def client_key(connection: HTTPConnection, rooms: Rooms) -> str:
    """Railway's proxy sets X-Real-IP; elsewhere anybody could, and X-Forwarded-For anybody can everywhere."""
    peer = connection.client.host if connection.client is not None else None
    real_ip = connection.headers.get("x-real-ip") if rooms.settings.is_on_railway else None
    return address_key(peer, real_ip=real_ip)
