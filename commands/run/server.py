"""Which server is asked, and as whom: what was given, or this machine's own with a token of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from commands.run.refused import Refused
from commands.run.wanted import Wanted, read_value
from commands.token import DEMO_USER
from foundation.errors import NotConfigured
from foundation.identity import issue_development_token
from foundation.settings import Settings

__all__ = ["credential_of", "url_of"]

EVERY_ADDRESS: Final = frozenset({"", "0.0.0.0", "::", "*"})  # nosec B104 # noqa: S104 - compared, not bound
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
# Settings are read only where something was left out: a client needs none.
Load = Callable[[], Settings]


def url_of(wanted: Wanted, load: Load) -> str:
    """The server's address, without a slash at its end.

    Raises:
        Refused: its port is not known.
        SettingsError: the settings of this machine are wrong.
    """
    if wanted.url is not None:
        return wanted.url.rstrip("/")
    settings = load()
    if settings.port == 0:
        raise Refused(["PORT=0 picks a free port at every start; give --url the one it has"])
    host = "127.0.0.1" if settings.host in EVERY_ADDRESS else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def credential_of(wanted: Wanted, url: str, load: Load) -> Mapping[str, str]:
    """The header that says who calls; `@file` keeps a token out of the list of processes.

    Raises:
        Refused: a token has to be given.
        SettingsError: the settings of this machine are wrong.
    """
    if wanted.token is not None:
        return _header(read_value(wanted.token).strip())
    if urlsplit(url).hostname not in LOOPBACK and wanted.url is not None:
        # It would let its reader in here for a day.
        raise Refused(["a development token is for this machine only; give --token one of that server"])
    try:
        return _header(issue_development_token(load(), DEMO_USER))
    except NotConfigured as error:
        raise Refused([f"{error}; give --token an access token or an API key"]) from error


def _header(token: str) -> Mapping[str, str]:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Refused(["--token wants an access token or an API key, as it was given out"])
    # An access token is three parts with dots between them; a key has no dot.
    return {"Authorization": f"Bearer {token}"} if "." in token else {"x-api-key": token}
