"""How a JSON answer is written: by orjson, from the plain values of `routing.wire`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from routing.json_bytes import json_bytes

__all__ = ["Json"]


class Json(Response):
    media_type = "application/json"

    def __init__(
        self, document: object, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(json_bytes(document), status, headers)
