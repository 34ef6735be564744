"""Where a URL leads, as far as its text tells: scheme, host form and port.

Pure. One parser reads the URL, and what it read is what gets connected, so two parsers can never disagree
about the host. Whether a name's addresses are allowed is decided where the socket is opened.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from foundation.outbound.addresses import Address, Reach, reach
from foundation.outbound.errors import BlockedAddress

if TYPE_CHECKING:
    import httpx2

__all__ = ["Target", "check_address", "join", "read_target"]

MAX_URL_CHARS: Final = 8192
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
PUBLIC_PORTS: Final = frozenset({80, 443, 8080, 8443})
UNSAFE: Final = re.compile(r"[\x00-\x20\x7f\\]")
LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(?:\.{LABEL})*\Z")
NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
PRIVATE_SUFFIXES: Final = (".localhost", ".localdomain", ".local", ".internal", ".home.arpa", ".onion")
METADATA_NAMES: Final = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be asked for; `origin` is (scheme, host, port)."""

    url: httpx2.URL
    host: str
    origin: tuple[str, str, int]


def read_target(url: str, *, allow_private: bool) -> Target:
    """Read `url`, or refuse it.

    Args:
        allow_private: the operator configured it, so private hosts and any port are fine.

    Raises:
        BlockedAddress: with a sentence that says what is not allowed.
    """
    parsed = _parse(url)
    if parsed.scheme not in DEFAULT_PORTS:
        raise BlockedAddress("only http:// and https:// addresses may be fetched")
    if parsed.userinfo:
        raise BlockedAddress("an address may not carry a user name or password")
    port = parsed.port if parsed.port is not None else DEFAULT_PORTS[parsed.scheme]
    if port not in PUBLIC_PORTS and not allow_private:
        raise BlockedAddress(f"port {port} may not be fetched; only 80, 443, 8080 and 8443")
    host = parsed.raw_host.decode("ascii").removesuffix(".")
    _check_host(host, allow_private=allow_private)
    return Target(parsed, host, (parsed.scheme, host, port))


def join(target: Target, location: str) -> str:
    """The URL that `location`, seen from `target`, leads to; not judged yet."""
    from httpx2 import InvalidURL

    try:
        return str(target.url.join(location))
    except (InvalidURL, ValueError) as error:
        raise BlockedAddress("the redirect's address cannot be read as a URL") from error


def check_address(address: Address, *, allow_private: bool) -> None:
    """Raise `BlockedAddress` unless `address` may be connected to."""
    distance = reach(address)
    if distance is Reach.PUBLIC or (distance is Reach.PRIVATE and allow_private):
        return
    raise BlockedAddress("the address leads into a private or reserved network")


def _parse(url: str) -> httpx2.URL:
    # The HTTP library is not needed by a server that fetches nothing.
    from httpx2 import URL, InvalidURL

    if len(url) > MAX_URL_CHARS:
        raise BlockedAddress(f"an address may have at most {MAX_URL_CHARS} characters")
    if UNSAFE.search(url):
        raise BlockedAddress("an address may not contain spaces, control characters or backslashes")
    try:
        return URL(url)
    except (InvalidURL, ValueError) as error:
        raise BlockedAddress("the address cannot be read as a URL") from error


def _check_host(host: str, *, allow_private: bool) -> None:
    if ":" in host:
        check_address(_ipv6(host), allow_private=allow_private)
    elif NAME.match(host) is None:
        raise BlockedAddress("the host of the address is not a plain name or IP address")
    elif NUMBER.match(host.rpartition(".")[2]):
        check_address(_ipv4(host), allow_private=allow_private)
    else:
        _check_name(host, allow_private=allow_private)


def _check_name(host: str, *, allow_private: bool) -> None:
    if host in METADATA_NAMES:
        raise BlockedAddress("the address leads to a metadata service")
    # A name without a dot is completed by the machine's search list, so nobody knows where it leads.
    if not allow_private and ("." not in host or host.endswith(PRIVATE_SUFFIXES)):
        raise BlockedAddress("the name belongs to a private network")


def _ipv4(host: str) -> IPv4Address:
    """Only four plain decimals: octal, hexadecimal and short forms are read in different ways."""
    try:
        return IPv4Address(host)
    except AddressValueError as error:
        raise BlockedAddress("an IPv4 address is written as four decimal numbers") from error


def _ipv6(host: str) -> IPv6Address:
    try:
        return IPv6Address(host)
    except AddressValueError as error:
        raise BlockedAddress("the host of the address is not an IPv6 address") from error
