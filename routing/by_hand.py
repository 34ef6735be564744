"""Routes whose endpoint reads its request itself; what else it declares is the API's description only.

The framework resolves whatever an endpoint declares, schemes of sign-in among it, at every request. Without
that a short run costs a fifth less (`docs/decisions/0052`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from foundation.identity import Caller
from routing.rooms import Rooms, rooms_of

__all__ = ["by_hand"]

Prove = Callable[[Request, Rooms], Awaitable[Caller | None]]


def by_hand(prove: Prove) -> type[APIRoute]:
    """The class of a route whose endpoint takes the request, the rooms and the caller, in this order.

    Args:
        prove: who calls, as the dependency says that the endpoint declares.
    """

    class ByHand(APIRoute):
        # Any: as the framework has it.
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            endpoint = self.endpoint

            async def handle(request: Request) -> Response:
                rooms = await rooms_of(request)
                response: Response = await endpoint(request, rooms, await prove(request, rooms))
                return response

            return handle

    return ByHand
