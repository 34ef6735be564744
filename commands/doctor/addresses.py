"""Addresses and texts as they may be shown: without user names, passwords and queries.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote, urlsplit

from foundation.settings import Settings

__all__ = ["place_of", "secrets_of", "without"]

HIDDEN: Final = "[hidden]"
SHORTEST_SECRET: Final = 4


def place_of(url: str) -> str:
    """`host:port/path` of `url`."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    host = parts.hostname or "this machine"
    return f"{f'[{host}]' if ':' in host else host}{port}{parts.path.rstrip('/')}"


def secrets_of(settings: Settings) -> list[str]:
    """Every value that no line may hold, as it was set and as it is meant."""
    urls = (settings.database_url, settings.nats_url, settings.redis_url)
    passwords = [_password(url) for url in urls if url is not None]
    return [each for each in [*settings.secrets, *passwords, *map(unquote, passwords)] if each]


def without(text: str, secrets: Iterable[str]) -> str:
    """`text` without any of `secrets`; a shorter one than four letters would be found inside words."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    return text


def _password(url: str) -> str:
    """Everything between the user and the last `@`: a password may hold one that was not escaped.

    A name alone is a token of NATS.
    """
    user, _, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
    return password or (user if url.startswith(("nats:", "tls:")) else "")
