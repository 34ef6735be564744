"""Which families a host and a port come to, on this machine and on one without IPv6."""

from __future__ import annotations

import errno
import socket

import pytest

from commands.listen import listening, names_of
from foundation.errors import StartRefused
from tests.support.process import free_port

LOOPBACKS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def answers(port: int) -> set[int]:
    """The families in which somebody takes connections at `port` of this machine."""
    found = set[int]()
    for family, address in LOOPBACKS.items():
        with socket.socket(family) as client:
            if client.connect_ex((address, port)) == 0:
                found.add(family)
    return found


def without_ipv6(family: int) -> socket.socket:
    """As `socket` on a machine whose kernel has no IPv6."""
    if family == socket.AF_INET6:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
    return socket.socket(family)


@pytest.mark.parametrize("is_chosen", [True, False], ids=["fixed port", "port 0"])
@pytest.mark.parametrize(
    ("host", "families"),
    [
        ("", {socket.AF_INET, socket.AF_INET6}),
        ("::", {socket.AF_INET, socket.AF_INET6}),
        ("0.0.0.0", {socket.AF_INET}),  # noqa: S104 - the case
        ("127.0.0.1", {socket.AF_INET}),
        ("::1", {socket.AF_INET6}),
    ],
)
def test_a_host_is_listened_to_in_its_families_on_one_port(
    host: str, families: set[int], *, is_chosen: bool
) -> None:
    with listening(host, free_port() if is_chosen else 0) as sockets:
        port = sockets[0].getsockname()[1]
        for each in sockets:
            each.listen()

        assert answers(port) == families

    assert answers(port) == set()


def test_clients_of_ipv4_keep_their_own_addresses() -> None:
    with listening("", 0) as (ipv4, ipv6):
        ipv4.listen()
        ipv6.listen()
        with socket.create_connection(("127.0.0.1", ipv4.getsockname()[1])):
            connection, address = ipv4.accept()
            connection.close()

    assert address[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["", "::"])
def test_a_machine_without_ipv6_listens_on_ipv4(host: str) -> None:
    with listening(host, 0, make=without_ipv6) as sockets:
        assert [each.family for each in sockets] == [socket.AF_INET]
        assert names_of(sockets) == [f"0.0.0.0:{sockets[0].getsockname()[1]}"]


def test_without_the_family_that_is_asked_for_the_start_is_refused() -> None:
    with (
        pytest.raises(StartRefused, match=r"^HOST: cannot listen on '::1'"),
        listening("::1", 0, make=without_ipv6),
    ):
        pass


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-name.invalid", "not an address", "127.0.0.1:80"])
def test_a_host_that_is_not_this_machine_is_named_in_one_line(host: str) -> None:
    with pytest.raises(StartRefused) as refused, listening(host, 0):
        pass

    assert str(refused.value).startswith(f"HOST: cannot listen on {host!r}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("taken_in", LOOPBACKS, ids=["IPv4", "IPv6"])
def test_a_port_that_is_taken_in_one_family_is_named_in_one_line(taken_in: socket.AddressFamily) -> None:
    with socket.socket(taken_in) as other:
        other.bind((LOOPBACKS[taken_in], 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(StartRefused) as refused, listening("", port):
            pass

    assert str(refused.value) == f"PORT: {port} is taken by another program; end that, or set another port"
