"""What an API key looks like, and what is kept of it.

Pure, apart from where a fresh one comes from. Only the hash and the first characters are ever stored, so a
key is shown once, and a copy of the database lets nobody in.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from typing import Final

__all__ = ["fresh_key", "hash_of", "is_key", "prefix_of"]

MARK: Final = "sy_"
SECRET_CHARS: Final = 32
PREFIX_CHARS: Final = 12
ALPHABET: Final = string.ascii_letters + string.digits
# Keys that the app made before have a mark of its own.
FORM: Final = re.compile(rf"[A-Za-z0-9_-]{{1,32}}_[A-Za-z0-9]{{{SECRET_CHARS}}}")


def fresh_key() -> str:
    """A key with 190 bits that nobody can guess."""
    return MARK + "".join(secrets.choice(ALPHABET) for _ in range(SECRET_CHARS))


def is_key(text: str) -> bool:
    """Whether it has the form of a key; it may still be nobody's."""
    return FORM.fullmatch(text) is not None


def hash_of(key: str) -> str:
    """SHA-256 of the whole key, lower-case hex. No salt: a key is too long to be found by trying."""
    return hashlib.sha256(key.encode()).hexdigest()


def prefix_of(key: str) -> str:
    """Enough to tell one's keys apart, and of no use to anybody else."""
    return key[:PREFIX_CHARS]
