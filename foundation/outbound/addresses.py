"""Which addresses the server may be sent to: our own table, because `ipaddress.is_global` is too kind.

Pure: no names, no sockets. `is_global` says yes to carrier-grade NAT and metadata addresses when they are
wrapped in IPv6, and to multicast; here an address is public only if nothing below says otherwise.

Sources: the IANA special-purpose address registries; RFC 6052 (NAT64); the metadata pages of the clouds.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

__all__ = ["Address", "Reach", "reach"]

Address = IPv4Address | IPv6Address


class Reach(StrEnum):
    """Public; private (this machine and its networks, which only an operator may name); never."""

    PUBLIC = "public"
    PRIVATE = "private"
    FORBIDDEN = "forbidden"


# Metadata and host services first: some lie inside ranges that are otherwise private or even public.
METADATA_V4: Final = frozenset(map(IPv4Address, ("100.100.100.200", "168.63.129.16")))
METADATA_V6: Final = frozenset(map(IPv6Address, ("fd00:ec2::254", "fd20:ce::254", "fd00:42::42")))

PRIVATE_V4: Final = tuple(
    map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
)
FORBIDDEN_V4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network; connects to the machine itself
            "169.254.0.0/16",  # link-local, and the metadata service of most clouds
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relays
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)

UNICAST_V6: Final = IPv6Network("2000::/3")
PRIVATE_V6: Final = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))
FORBIDDEN_V6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments; Teredo and ORCHID among them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: carries any IPv4 address
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)
# Prefixes whose last 32 bits are the IPv4 address that is really meant.
CARRIERS_OF_V4: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))


def reach(address: Address) -> Reach:
    """How far away `address` is; an IPv4 address inside an IPv6 one is judged as itself."""
    if isinstance(address, IPv6Address):
        if any(address in carrier for carrier in CARRIERS_OF_V4):
            return reach(IPv4Address(int(address) & 0xFFFF_FFFF))
        return _reach_v6(address)
    if address in METADATA_V4 or any(address in network for network in FORBIDDEN_V4):
        return Reach.FORBIDDEN
    return Reach.PRIVATE if any(address in network for network in PRIVATE_V4) else Reach.PUBLIC


def _reach_v6(address: IPv6Address) -> Reach:
    if address.scope_id is not None or address in METADATA_V6:
        return Reach.FORBIDDEN
    if any(address in network for network in PRIVATE_V6):
        return Reach.PRIVATE
    if address not in UNICAST_V6 or any(address in network for network in FORBIDDEN_V6):
        return Reach.FORBIDDEN
    return Reach.PUBLIC
