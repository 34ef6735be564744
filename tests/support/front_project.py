"""A Supabase project as a page sees it: the real PostgREST under `/rest/v1`, and a public key.

What crosses origins is up to PostgREST; the gateway answers nothing itself but a missing key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI, Request, Response

from tests.support.postgrest import PostgRest, serving
from tests.support.server import served
from tests.support.tokens import TokenForge

__all__ = ["PUBLIC_KEY", "FrontProject", "front_project"]

PUBLIC_KEY: Final = "sb_publishable_of_these_tests_0123456789"
METHODS: Final = ["GET", "POST", "PATCH", "DELETE", "OPTIONS", "HEAD"]
# Of the connection to the page, not of what is asked on it.
OF_THE_HOP: Final = {"host", "connection", "content-length", "transfer-encoding", "date", "server"}


@dataclass
class FrontProject:
    """`asked` are method and path of what came for PostgREST."""

    url: str
    asked: list[tuple[str, str]]


@asynccontextmanager
async def front_project(database_url: str, forge: TokenForge) -> AsyncIterator[FrontProject]:
    """The project whose users have tokens of `forge`."""
    async with serving(database_url, jwks=forge.jwks()) as rest:
        project = FrontProject("", [])
        async with served(_gateway(rest, project)) as url:
            project.url = url
            yield project


def _gateway(rest: PostgRest, project: FrontProject) -> FastAPI:
    app = FastAPI()

    @app.api_route("/rest/v1/{path:path}", methods=METHODS)
    async def hand_on(path: str, request: Request) -> Response:
        if request.method != "OPTIONS" and request.headers.get("apikey") != PUBLIC_KEY:
            return Response('{"message":"No API key found in request"}', 401)
        project.asked.append((request.method, path))
        headers = {name: value for name, value in request.headers.items() if name not in OF_THE_HOP}
        # The public key is no token: who brings nothing else is nobody.
        if headers.get("authorization") == f"Bearer {PUBLIC_KEY}":
            del headers["authorization"]
        answer = await rest.forward(
            request.method, f"/{path}?{request.url.query}", headers=headers, body=await request.body()
        )
        kept = {name: value for name, value in answer.headers.items() if name not in OF_THE_HOP}
        return Response(answer.content, answer.status_code, headers=kept)

    return app
