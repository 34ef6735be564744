"""What an address of NATS says: where it is, who we are there, and whether the way must be hidden.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

__all__ = ["Address"]


@dataclass(frozen=True, slots=True)
class Address:
    """`server` holds no password, so that no text made of it does.

    `user` and `password` are a login; `token` alone is one too. None of them: whoever comes is let in.
    """

    server: str
    must_encrypt: bool
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str) -> Address:
        """
        Args:
            url: `nats://` or `tls://`, a host, at most one port; `user:password@` or `token@` before it.
        """
        parts = urlsplit(url)
        login, _, place = parts.netloc.rpartition("@")
        user, has_password, password = (unquote(each) for each in login.partition(":"))
        server = f"{parts.scheme}://{place}"
        if has_password:
            return cls(server, parts.scheme == "tls", user=user, password=password)
        return cls(server, parts.scheme == "tls", token=user or None)
