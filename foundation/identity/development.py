"""Signing in without a Supabase project: a secret of this machine's own, and tokens made with it.

Only in development, and only while no project is configured. The secret is made once and kept in the data
folder, readable by its owner alone. Several processes may start at once: whoever links its file first wins,
and the others read that one.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final
from uuid import UUID

from foundation.clock import SystemClock
from foundation.errors import NotConfigured
from foundation.settings import Settings

__all__ = ["development_secret", "is_self_issued", "issue_development_token"]

FILE_NAME: Final = "development-jwt-secret"
SECRET_BYTES: Final = 48
MIN_SECRET_CHARS: Final = 32


def is_self_issued(settings: Settings) -> bool:
    """Whether this server takes tokens that it made itself."""
    return (
        not settings.is_production and settings.supabase_url is None and settings.supabase_jwt_secret is None
    )


def issue_development_token(settings: Settings, user_id: UUID, *, lifetime_s: int = 86_400) -> str:
    """A token that this server takes for `user_id`.

    Raises:
        NotConfigured: in production, or when a project issues the tokens.
    """
    secret = development_secret(settings)
    now_s = int(SystemClock().now().timestamp())
    claims = {
        "iss": settings.issuer,
        "sub": str(user_id),
        "aud": "authenticated",
        "role": "authenticated",
        "iat": now_s,
        "exp": now_s + lifetime_s,
    }
    from jwt import encode

    return encode(claims, secret, algorithm="HS256")


def development_secret(settings: Settings) -> str:
    """The secret, made on first use.

    Raises:
        NotConfigured: in production, or when a project issues the tokens, or the file is damaged.
    """
    if settings.is_production:
        raise NotConfigured("development tokens do not exist in production; sign in through Supabase")
    if not is_self_issued(settings):
        raise NotConfigured("this server takes the tokens of its Supabase project; sign in there")
    path = settings.data_dir / FILE_NAME
    if not path.exists():
        _make(path)
    secret = path.read_text(encoding="ascii", errors="replace").strip()
    if len(secret) < MIN_SECRET_CHARS:
        raise NotConfigured(f"{FILE_NAME} in the data folder is damaged; delete it and start again")
    return secret


def _make(path: Path) -> None:
    """Write beside and link: the file is never seen half-written, and is never replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{FILE_NAME}-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(SECRET_BYTES))
        path.hardlink_to(draft)
    except FileExistsError:
        # Another process was first; its secret is the one that counts.
        return
    finally:
        draft.unlink(missing_ok=True)
