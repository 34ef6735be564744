"""How a JSON body is taken in: bounded in bytes, in time and in depth, and off the loop when it is large.

The limit of the framework answers plain text and looks only at routes that declare a body, before anybody is
authenticated; so bodies are read here, by hand, after the caller is known.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from foundation.errors import (
    FieldError,
    InvalidBody,
    InvalidRequest,
    Json,
    TooLarge,
    TooSlow,
    UnsupportedMediaType,
)
from routing.fields import MAX_ERRORS, field_errors, first_mistake, unknown_fields

__all__ = ["EXECUTE_BYTES", "Pace", "read_bytes", "read_model"]

EXECUTE_BYTES: Final = 50 * 1024 * 1024
OFF_LOOP_BYTES: Final = 256 * 1024

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a body may come: silent for at most `silence_s`, afterwards `least_bytes_s` on average."""

    silence_s: float = 15.0
    total_s: float = 300.0
    least_bytes_s: int = 1024


PATIENT: Final = Pace()


async def read_model(
    request: Request, model: type[Model], *, limit_bytes: int, pace: Pace = PATIENT
) -> tuple[Model, int]:
    """The body as `model`, and its size in bytes.

    Raises:
        UnsupportedMediaType: it is no JSON by its own account.
        TooLarge, TooSlow: as soon as that is clear, before the rest has arrived.
        InvalidRequest: it is no JSON.
        InvalidBody: it is not what the model wants, with every field.
    """
    check_media_type(request)
    body = await read_bytes(request, limit_bytes=limit_bytes, pace=pace)
    document = await parse(body)
    strangers = unknown_fields(document, model)
    if len(strangers) == MAX_ERRORS:
        raise InvalidBody(strangers)
    try:
        return model.model_validate(document), len(body)
    except ValidationError as error:
        raise InvalidBody(field_errors(error.errors(include_url=False, include_input=False))) from None


def check_media_type(request: Request) -> None:
    """Raises UnsupportedMediaType unless the body says it is plain JSON."""
    if len(request.headers.getlist("content-type")) > 1:
        raise InvalidRequest("the Content-Type header stands there twice")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("send the body as application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("send the body uncompressed")


async def read_bytes(request: Request, *, limit_bytes: int, pace: Pace = PATIENT) -> bytes:
    """The body, or TooLarge or TooSlow without waiting for the rest of it."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit_bytes:
        raise TooLarge(limit_bytes=limit_bytes)
    try:
        async with asyncio.timeout(pace.total_s):
            return await _receive(request, limit_bytes=limit_bytes, pace=pace)
    except TimeoutError:
        raise TooSlow("the body came too slowly; send it again on a better connection") from None


async def _receive(request: Request, *, limit_bytes: int, pace: Pace) -> bytes:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        async with asyncio.timeout(pace.silence_s):
            message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        size_bytes += len(parts[-1])
        if size_bytes > limit_bytes:
            raise TooLarge(limit_bytes=limit_bytes)
        if not message.get("more_body", False):
            return b"".join(parts)
        elapsed_s = loop.time() - began_s
        if elapsed_s > pace.silence_s and size_bytes < pace.least_bytes_s * elapsed_s:
            raise TimeoutError


async def parse(body: bytes) -> dict[str, Json]:
    """The JSON object of `body`; a large one is taken apart in a thread."""
    if len(body) > OFF_LOOP_BYTES:
        return await asyncio.to_thread(_parse, body)
    return _parse(body)


def _parse(body: bytes) -> dict[str, Json]:
    try:
        document: Json = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is no JSON, or nested too deeply: {error}") from None
    if not isinstance(document, dict):
        raise InvalidBody([FieldError("", "wants a JSON object")])
    if (mistake := first_mistake(document)) is not None:
        raise InvalidBody([mistake])
    return document
