"""Who calls, where a request that cannot be read is heard of before who asks, as the edge's contract has it.

Here a caller is proved first as everywhere, because little of a stranger should be read. Only when somebody
is refused for want of a credential the body is looked at, if it is small.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Request

from foundation.errors import InvalidToken, TooLarge, TooSlow
from foundation.identity import Caller
from routing.bodies import Pace, read_model
from routing.callers import RoomsOf, caller_of
from routing.models import ExecuteBody
from routing.openapi import API_KEY, SERVICE, USER
from routing.preferences import parse_key

__all__ = ["ReadCallerOf"]

STRANGERS_BYTES: Final = 256 * 1024
STRANGERS_PACE: Final = Pace(silence_s=2.0, total_s=5.0)


async def _read_caller_of(
    request: Request,
    rooms: RoomsOf,
    # Only for the API's description.
    _bearer: object = USER,
    _api_key: object = API_KEY,
    _service: object = SERVICE,
) -> Caller:
    """Raises as `caller_of`, but before InvalidToken what is wrong with the request."""
    try:
        return await caller_of(request, rooms)
    except InvalidToken:
        await _look_for_mistakes(request)
        raise


async def _look_for_mistakes(request: Request) -> None:
    parse_key(request.headers.getlist("idempotency-key"))
    try:
        await read_model(request, ExecuteBody, limit_bytes=STRANGERS_BYTES, pace=STRANGERS_PACE)
    except (TooLarge, TooSlow):
        # It may well be right.
        return


ReadCallerOf = Annotated[Caller, Depends(_read_caller_of)]
