"""A Supabase project as a page sees it: PostgREST at `/rest/v1`, functions at `/functions/v1`, a public key.

Both are real, and what crosses origins is up to them; the gateway answers nothing itself but a missing key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx2
from fastapi import FastAPI, Request, Response

from tests.support.postgrest import PostgRest, serving
from tests.support.server import TestServer, served

__all__ = ["PUBLIC_KEY", "FrontProject", "front_project"]

PUBLIC_KEY: Final = "sb_publishable_of_these_tests_0123456789"
METHODS: Final = ["GET", "POST", "PATCH", "DELETE", "OPTIONS", "HEAD"]
# Of the connection to the page, not of what is asked on it.
OF_THE_HOP: Final = {"host", "connection", "content-length", "transfer-encoding", "date", "server"}


@dataclass
class FrontProject:
    """`asked` are method and path of what came, for one or the other."""

    url: str
    asked: list[tuple[str, str]]


@asynccontextmanager
async def front_project(database_url: str, server: TestServer) -> AsyncIterator[FrontProject]:
    """The project whose users `server` knows; the server stands in for its functions."""
    async with serving(database_url, jwks=server.forge.jwks()) as rest, server.client() as functions:
        project = FrontProject("", [])
        async with served(_gateway(rest, functions, project)) as url:
            project.url = url
            yield project


def _gateway(rest: PostgRest, functions: httpx2.AsyncClient, project: FrontProject) -> FastAPI:
    app = FastAPI()

    @app.api_route("/rest/v1/{path:path}", methods=METHODS)
    async def hand_on_to_rest(path: str, request: Request) -> Response:
        if request.method != "OPTIONS" and request.headers.get("apikey") != PUBLIC_KEY:
            return Response('{"message":"No API key found in request"}', 401)
        headers = _sent_on(request)
        # The public key is no token: who brings nothing else is nobody.
        if headers.get("authorization") == f"Bearer {PUBLIC_KEY}":
            del headers["authorization"]
        project.asked.append((request.method, path))
        where = f"/{path}?{request.url.query}"
        return _given_back(
            await rest.forward(request.method, where, headers=headers, body=await request.body())
        )

    # As `verify_jwt = false` says, whatever the credentials are.
    @app.api_route("/functions/v1/{name}", methods=METHODS)
    async def hand_on_to_functions(name: str, request: Request) -> Response:
        project.asked.append((request.method, name))
        return _given_back(
            await functions.request(
                request.method,
                f"/functions/v1/{name}",
                headers=_sent_on(request),
                content=await request.body(),
            )
        )

    return app


def _sent_on(request: Request) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name not in OF_THE_HOP}


def _given_back(answer: httpx2.Response) -> Response:
    kept = {name: value for name, value in answer.headers.items() if name not in OF_THE_HOP}
    return Response(answer.content, answer.status_code, headers=kept)
