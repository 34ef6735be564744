"""Asking the model endpoint for its models, the project for its keys, the collector whether it takes spans.

Nothing is bought. Through the one guarded way out, as the server itself would; the addresses are the
operator's own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import orjson

from commands.doctor.facts import WebFacts
from foundation.errors import HeavyError
from foundation.outbound import Fetched, Outbound
from foundation.settings import Settings

__all__ = ["probe_collector", "probe_model", "probe_project"]

OPENAI_URL: Final = "https://api.openai.com/v1"
WITHIN_S: Final = 8.0
MAX_BYTES: Final = 8_000_000


async def probe_model(settings: Settings, outbound: Outbound) -> WebFacts | None:
    """None without a key."""
    address, secret = settings.model_endpoint
    key = secret.get_secret_value().strip() if secret is not None else ""
    if not key:
        return None
    url = f"{address or OPENAI_URL}/models"
    if not key.isascii() or not key.isprintable():
        return WebFacts(_host(url), failure="the key holds characters that no key has")
    return await _ask(url, outbound, headers={"authorization": f"Bearer {key}"}, listed=("data", "id"))


async def probe_project(settings: Settings, outbound: Outbound) -> WebFacts | None:
    """None without a project."""
    if settings.jwks_url is None:
        return None
    return await _ask(settings.jwks_url, outbound, headers={}, listed=("keys", "kid"))


async def probe_collector(settings: Settings, outbound: Outbound) -> WebFacts | None:
    """By an export of no spans, which changes nothing; None where nothing is traced."""
    if settings.traces_url is None:
        return None
    headers = {**settings.otlp_headers, "content-type": "application/x-protobuf"}
    return await _ask(settings.traces_url, outbound, headers=headers, listed=("", ""), body=b"")


async def _ask(
    url: str,
    outbound: Outbound,
    *,
    headers: Mapping[str, str],
    listed: tuple[str, str],
    body: bytes | None = None,
) -> WebFacts:
    try:
        answer = await outbound.fetch(
            url,
            method="GET" if body is None else "POST",
            headers=headers,
            body=body,
            timeout_s=WITHIN_S,
            max_bytes=MAX_BYTES,
            allow_private=True,
        )
    except HeavyError as error:
        return WebFacts(_host(url), failure=str(error))
    names = _names(answer.body, *listed)
    return WebFacts(_host(url), status=answer.status, names=names, offset_s=_offset_s(answer))


def _names(body: bytes, members: str, name: str) -> tuple[str, ...] | None:
    try:
        found = orjson.loads(body)[members]
        return tuple(str(each[name]) for each in found)
    except (ValueError, KeyError, TypeError):
        return None


def _offset_s(answer: Fetched) -> float | None:
    """`Date` says when the answer was made, in whole seconds; a cache says how old it is."""
    try:
        made_s = parsedate_to_datetime(answer.headers["date"]).timestamp()
        age_s = int(answer.headers.get("age", "0"))
    except (KeyError, ValueError, TypeError):
        return None
    apart_s = time.time() - (made_s + age_s)
    # Anywhere in that second is right.
    return max(apart_s - 1, 0.0) if apart_s > 0 else apart_s


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]
