"""Asking the deployment over HTTP, one connection a request."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "Answer",
    "Document",
    "Site",
    "Unreachable",
    "asking",
    "connection_to",
    "site_of",
    "translated",
    "whole",
]

# Any: a JSON document of the wire.
Document = dict[str, Any]

PIECE_BYTES = 65_536
USUAL_PORTS = {"http": 80, "https": 443}
# Where macOS and many others keep what Python from python.org does not find by itself.
CERTIFICATES = Path("/etc/ssl/cert.pem")


class Unreachable(Exception):
    """No whole answer came; the text says why, in a few words."""


@dataclass(frozen=True)
class Site:
    """Where the deployment is; `prefix` is what its address has before every path."""

    scheme: str
    host: str
    port: int
    prefix: str

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """As the `Host` of a request has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == USUAL_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True)
class Answer:
    """`headers` have lower-case names; of several with one name, the last."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> Document:
        """The JSON object it is; empty when it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def said(self) -> str:
        """Its status, and the code of its problem document if it is one."""
        code = self.document().get("code")
        return f"{self.status} {code}" if code else str(self.status)


def site_of(url: str) -> Site | None:
    """None when `url` is no address of HTTP."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in USUAL_PORTS or not parts.hostname or parts.query or parts.fragment:
        return None
    return Site(parts.scheme, parts.hostname, port or USUAL_PORTS[parts.scheme], parts.path.rstrip("/"))


def connection_to(site: Site, timeout_s: float) -> http.client.HTTPConnection:
    if site.is_tls:
        return http.client.HTTPSConnection(site.host, site.port, timeout=timeout_s, context=trusting())
    return http.client.HTTPConnection(site.host, site.port, timeout=timeout_s)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and CERTIFICATES.exists():
        context.load_verify_locations(CERTIFICATES)
    return context


@contextmanager
def asking(
    site: Site, method: str, path: str, *, headers: Mapping[str, str], body: bytes = b"", timeout_s: float
) -> Iterator[http.client.HTTPResponse]:
    """The answer, of which only the head was read.

    Raises:
        Unreachable: also when the answer breaks off while the block reads it.
    """
    connection = connection_to(site, timeout_s)
    try:
        with translated(timeout_s):
            connection.request(method, site.prefix + path, body or None, dict(headers))
            yield connection.getresponse()
    finally:
        connection.close()


@contextmanager
def translated(timeout_s: float) -> Iterator[None]:
    """Every way a connection fails, as `Unreachable`."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(f"its certificate is not to be trusted: {error.verify_message}") from error
    except socket.timeout as error:
        raise Unreachable(f"silent for {timeout_s:.0f} s") from error
    except ConnectionRefusedError as error:
        raise Unreachable("nothing listens there") from error
    except socket.gaierror as error:
        raise Unreachable("there is no such host") from error
    except http.client.IncompleteRead as error:
        raise Unreachable("the answer broke off") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error


def whole(response: http.client.HTTPResponse, *, deadline_s: float) -> Answer:
    """
    Args:
        deadline_s: of the monotonic clock; a server that sends a byte now and then is not waited for.
    """
    pieces = []
    while piece := response.read1(PIECE_BYTES):
        pieces.append(piece)
        if time.monotonic() > deadline_s:
            raise Unreachable("the answer did not end in time")
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, b"".join(pieces))
