"""What a test in another language does to the ground it stands on: makes users and tokens, looks at rows.

POST /sql      {query, arguments}   the rows, as objects; a UUID is a text
POST /token    {userId, changes?, algorithm?}
POST /attacks  {userId}             [{name, headers, statuses}]
POST /rest     {isAway}             whether PostgREST is reached
GET  /seen                          what was asked where nothing may be asked
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.edge_gateway import Gateway
from tests.support.loopback import on_loopback
from tests.support.tables import Connection
from tests.support.web import Web

__all__ = ["open_control"]


class Control:
    def __init__(self, sql: Connection, gateway: Gateway, canary: Web) -> None:
        self._sql = sql
        self._gateway = gateway
        self._canary = canary
        self.app = Starlette(
            routes=[
                Route("/sql", self._query, methods=["POST"]),
                Route("/token", self._token, methods=["POST"]),
                Route("/attacks", self._attacks, methods=["POST"]),
                Route("/rest", self._rest, methods=["POST"]),
                Route("/seen", self._seen),
            ]
        )

    async def _query(self, request: Request) -> Response:
        asked = await request.json()
        try:
            rows = await self._sql.fetch(asked["query"], *asked.get("arguments", []))
        except asyncpg.PostgresError as error:
            return Response(str(error), 400)
        return _json([dict(row) for row in rows])

    async def _token(self, request: Request) -> Response:
        asked = await request.json()
        forge, user_id = self._gateway.forge, UUID(asked["userId"])
        token = forge.token(user_id, asked.get("changes", {}), algorithm=asked.get("algorithm", "ES256"))
        return _json({"token": token})

    async def _attacks(self, request: Request) -> Response:
        user_id = UUID((await request.json())["userId"])
        attacks = self._gateway.forge.attacks(user_id, canary_url=f"{self._canary.url}/keys")
        return _json(
            [
                {"name": each.name, "headers": each.headers, "statuses": sorted(each.statuses)}
                for each in attacks
            ]
        )

    async def _rest(self, request: Request) -> Response:
        self._gateway.is_away = (await request.json())["isAway"]
        return _json({})

    async def _seen(self, _: Request) -> Response:
        return _json([each.path for each in self._canary.asked])


# Any: whatever the database holds.
def _json(document: Any) -> Response:
    return Response(orjson.dumps(document, default=str), media_type="application/json")


@asynccontextmanager
async def open_control(sql: Connection, gateway: Gateway, canary: Web) -> AsyncIterator[str]:
    """Serve until the block ends; its address."""
    async with on_loopback(Control(sql, gateway, canary).app) as url:
        yield url
