"""How callers prove who they are, for the description; `foundation.identity` reads the headers itself."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Depends
from fastapi.security import APIKeyHeader, APIKeyQuery, HTTPBearer

__all__ = ["API_KEY", "BACKEND", "METRICS", "SERVICE", "SERVICE_USER", "TOKEN", "USER", "pair_service"]

# Any: what FastAPI takes as a dependency, and pieces of an OpenAPI document.
Dependency = Any
Piece = dict[str, Any]


def _header(name: str, scheme: str, description: str) -> APIKeyHeader:
    return APIKeyHeader(name=name, scheme_name=scheme, auto_error=False, description=description)


def _bearer(scheme: str, description: str, *, form: str | None = None) -> HTTPBearer:
    return HTTPBearer(bearerFormat=form, scheme_name=scheme, auto_error=False, description=description)


USER: Final[Dependency] = Depends(_bearer("user", "The user's Supabase access token.", form="JWT"))
API_KEY: Final[Dependency] = Depends(
    _header("x-api-key", "apiKey", "A key the user has made; it acts as that user.")
)
SERVICE: Final[Dependency] = Depends(
    _header("x-railway-secret", "service", "The secret an edge function shares with this server.")
)
SERVICE_USER: Final = _header("x-user-id", "serviceUser", "With `service`: the id of the user it speaks for.")
BACKEND: Final[Dependency] = Depends(
    _bearer("backend", "A token with which another backend forwards a run, signed by it.", form="JWT")
)
TOKEN: Final[Dependency] = Depends(
    APIKeyQuery(
        name="token",
        scheme_name="token",
        auto_error=False,
        description="The user's access token, for `EventSource`, which can send no header.",
    )
)
METRICS: Final[Dependency] = Depends(
    _bearer("metrics", "The server's METRICS_TOKEN; not needed where none is set.")
)


def pair_service(document: Piece) -> None:
    """Where the service is taken beside users, it has to name one; FastAPI only knows one scheme or another.

    Where no user is, the service names one in the body.
    """
    schemes = document["components"]["securitySchemes"]
    model = SERVICE_USER.model
    schemes["serviceUser"] = {
        "type": "apiKey",
        "description": model.description,
        "in": "header",
        "name": SERVICE_USER.model.name,
    }
    for path in document["paths"].values():
        for each in path.values():
            required = each.get("security", [])
            has_users = any("user" in requirement for requirement in required)
            for requirement in required:
                if "service" in requirement and has_users:
                    requirement["serviceUser"] = []
