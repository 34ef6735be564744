"""What a Supabase project's keys look like: which of them are the service's, which are for everybody.

Pure. Nothing is proved here, and nothing can be: the project does that. This catches a key that is mixed up.

Source: Supabase, "Understanding API keys".
"""

from __future__ import annotations

import base64
import json
from typing import Final

__all__ = ["is_secret_key"]

SECRET: Final = "sb_secret_"  # noqa: S105 - what every one begins with
SERVICE: Final = "service_role"
JWT_PARTS: Final = 3


def is_secret_key(text: str) -> bool:
    """`sb_secret_…`, or a JWT for `service_role`; not a publishable key, nor the legacy `anon` one."""
    if not (text.isascii() and text.isprintable()) or " " in text:
        return False
    return (text.startswith(SECRET) and len(text) > len(SECRET)) or _role(text) == SERVICE


def _role(token: str) -> object:
    parts = token.split(".")
    if len(parts) != JWT_PARTS:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return claims.get("role") if isinstance(claims, dict) else None
