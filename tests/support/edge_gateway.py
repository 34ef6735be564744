"""A project's gateway as Supabase has one: the Data API under /rest/v1, the signing keys under /auth/v1.

Keys of the new kind are no tokens. As the platform does, the gateway takes one in `apikey` and gives
PostgREST the token it stands for.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.loopback import on_loopback
from tests.support.postgrest import PostgRest
from tests.support.tokens import TokenForge

__all__ = ["Gateway", "open_gateway"]

JWKS_PATH = "/auth/v1/.well-known/jwks.json"
HANDED_ON = frozenset({"accept", "content-type", "prefer"})
HANDED_BACK = frozenset({"content-type", "content-range"})


class Gateway:
    """
    Attributes:
        url: the project's address, with no trailing slash.
        secret_key: of the new kind; `service_token` is what it stands for, which is the old kind.
        is_away: PostgREST is not reached.
        calls: how often each function was called.
    """

    def __init__(self, postgrest: PostgRest) -> None:
        self.url = ""
        self.forge = TokenForge(issuer="")
        self.secret_key = f"sb_secret_{secrets.token_urlsafe(24)}"
        self.service_token = postgrest.token("service_role")
        self.is_away = False
        self.calls: list[str] = []
        self.key_fetches = 0
        self._client = postgrest._client
        self.app = Starlette(
            routes=[
                Route(JWKS_PATH, self._keys),
                Route("/rest/v1/{path:path}", self._rest, methods=["GET", "POST", "PATCH", "DELETE"]),
            ]
        )

    async def _keys(self, _: Request) -> Response:
        self.key_fetches += 1
        headers = {"cache-control": "public, max-age=600"}
        return Response(json.dumps(self.forge.jwks()), media_type="application/json", headers=headers)

    async def _rest(self, request: Request) -> Response:
        key = request.headers.get("apikey", "")
        authorization = request.headers.get("authorization")
        if key not in {self.secret_key, self.service_token}:
            return Response('{"message":"Invalid API key"}', 401, media_type="application/json")
        if key == self.secret_key:
            # Sent as a bearer it would be taken for a token, and is none.
            if authorization is not None:
                return Response('{"message":"Invalid JWT"}', 401, media_type="application/json")
            authorization = f"Bearer {self.service_token}"
        if self.is_away:
            return Response("no healthy upstream", 503, media_type="text/plain")
        path = request.path_params["path"]
        self.calls.append(path.rpartition("/")[2])
        return await self._handed_on(request, path, authorization=authorization or "")

    async def _handed_on(self, request: Request, path: str, *, authorization: str) -> Response:
        headers = {name: value for name, value in request.headers.items() if name in HANDED_ON}
        answer = await self._client.request(
            request.method,
            f"/{path}?{request.url.query}",
            content=await request.body(),
            headers={**headers, "authorization": authorization},
        )
        kept = {name: value for name, value in answer.headers.items() if name in HANDED_BACK}
        return Response(answer.content, answer.status_code, headers=kept)


@asynccontextmanager
async def open_gateway(postgrest: PostgRest) -> AsyncIterator[Gateway]:
    """Serve until the block ends."""
    gateway = Gateway(postgrest)
    async with on_loopback(gateway.app) as url:
        gateway.url = url
        gateway.forge.issuer = f"{url}/auth/v1"
        yield gateway
