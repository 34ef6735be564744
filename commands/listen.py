"""Which sockets it listens on: IPv4 and IPv6 each their own, on one port.

One socket for both families would show every IPv4 client under an IPv6 address, and not every machine has
IPv6. They are bound before anything is started, so that a port that is taken costs nothing; nobody is let in
before the server is ready.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from foundation.errors import StartRefused

__all__ = ["listening", "names_of", "refusal"]

# Every address of the machine: whoever writes the one of IPv6 rarely means to lock IPv4 out.
ALL = ("", "::")
EVERYWHERE = ((socket.AF_INET, ("0.0.0.0",)), (socket.AF_INET6, ("::",)))  # noqa: S104  # nosec B104 - asked for
PORT_TRIES = 20
# What a machine says that has not this family, or not this address.
ABSENT = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)

# A family, and an address in it: the host, and for some of IPv6 more after the port.
Place = tuple[int, tuple[str | int, ...]]
Make = Callable[[int], socket.socket]


@contextmanager
def listening(host: str, port: int, *, make: Make | None = None) -> Iterator[Sequence[socket.socket]]:
    """Sockets bound to `port` at all addresses of `host`, which the server lets listen; closed at the end.

    Args:
        host: a name or an address; empty or `::` for every address of both families.
        port: 0 for a free one, the same for both families.
        make: opens a socket of a family; only tests have one of their own.

    Raises:
        StartRefused: one sentence on why it cannot be had.
    """
    bound = _bind(host, port, make or _new)
    try:
        yield bound
    finally:
        for each in bound:
            each.close()


def names_of(sockets: Sequence[socket.socket]) -> list[str]:
    """Where they listen: `127.0.0.1:8000`, `[::]:8000`."""
    return [
        f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
        for name in (each.getsockname() for each in sockets)
    ]


def refusal(error: OSError, *, host: str, port: int) -> StartRefused:
    match error.errno:
        case errno.EADDRINUSE:
            return StartRefused(f"PORT: {port} is taken by another program; end that, or set another port")
        case errno.EACCES | errno.EPERM:
            return StartRefused(f"PORT: {port} may not be opened by this user; set one from 1024 on")
        case _:
            return StartRefused(f"HOST: cannot listen on {host!r}: {error.strerror or error}")


def _bind(host: str, port: int, make: Make) -> list[socket.socket]:
    try:
        places = EVERYWHERE if host in ALL else _places(host)
        for tries_left in reversed(range(PORT_TRIES)):
            try:
                return _bind_all(places, port, make)
            except OSError as error:
                # A port that was free for one family need not be for the other.
                if port or error.errno != errno.EADDRINUSE or not tries_left:
                    raise
    except OSError as error:
        raise refusal(error, host=host, port=port) from error
    raise AssertionError("unreachable")


def _places(host: str) -> Sequence[Place]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((int(family), (name[0], *name[2:])) for family, _, _, _, name in found))


def _bind_all(places: Sequence[Place], port: int, make: Make) -> list[socket.socket]:
    """All of `places` that this machine has, and at least one."""
    bound: list[socket.socket] = []
    try:
        for family, address in places:
            chosen = bound[0].getsockname()[1] if bound else port
            bound += _bind_one(family, address, port=chosen, make=make)
    except OSError:
        for each in bound:
            each.close()
        raise
    if not bound:
        raise OSError(errno.EADDRNOTAVAIL, "this machine has no such address")
    return bound


def _bind_one(family: int, address: tuple[str | int, ...], *, port: int, make: Make) -> list[socket.socket]:
    """The socket; none where the machine has not this family, or not this address."""
    host, *rest = address
    opened: socket.socket | None = None
    try:
        opened = make(family)
        opened.bind((host, port, *rest))
    except OSError as error:
        if opened is not None:
            opened.close()
        if error.errno in ABSENT:
            return []
        raise
    return [opened]


def _new(family: int) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by its connections; without it some clients wait 40 ms for the rest of an answer.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return opened
