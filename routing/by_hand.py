"""Routes whose endpoint reads its request itself; what else it declares is the API's description only.

The framework resolves whatever an endpoint declares, schemes of sign-in among it, at every request. Without
that a short run costs a fifth less (`docs/decisions/0052`).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request
from fastapi.params import Depends
from fastapi.routing import APIRoute
from starlette.responses import Response

from foundation.identity import Caller
from routing.rooms import Rooms, rooms_of

__all__ = ["ByHand"]

Prove = Callable[[Request, Rooms], Awaitable[Caller | None]]


class ByHand(APIRoute):
    """Its endpoint takes the request, the rooms and the caller, in this order."""

    # Any: as the framework has it.
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint, prove = self.endpoint, _prover(self.endpoint)

        async def handle(request: Request) -> Response:
            rooms = await rooms_of(request)
            response: Response = await endpoint(request, rooms, await prove(request, rooms))
            return response

        return handle


def _prover(endpoint: Callable[..., Any]) -> Prove:
    """What proves the caller: the dependency that the endpoint declares for it."""
    caller = list(inspect.signature(endpoint).parameters)[2]
    (depends,) = get_type_hints(endpoint, include_extras=True)[caller].__metadata__
    assert isinstance(depends, Depends)  # noqa: S101 - as every caller is declared
    prove: Prove = depends.dependency  # type: ignore[assignment]
    return prove
