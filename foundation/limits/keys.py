"""Whom a request is counted for.

Pure. Before anybody is authenticated it is the client's address; afterwards it may be the caller, so that an
edge function speaking for many users does not use up one limit for all.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network
from uuid import UUID

__all__ = ["address_key", "caller_key"]


def caller_key(user_id: UUID) -> str:
    return f"user:{user_id}"


def address_key(peer: str | None, *, real_ip: str | None = None) -> str:
    """The key of a client nobody knows yet.

    Args:
        peer: the other end of the connection; None when there is none (a socket file).
        real_ip: `X-Real-IP`, only on Railway, whose proxy sets it; anybody could write it elsewhere.
    """
    for candidate in (real_ip, peer):
        if candidate is not None and (network := _network(candidate.strip())) is not None:
            return f"address:{network}"
    return "address:unknown"


def _network(text: str) -> str | None:
    """An IPv4 address, or the /64 of an IPv6 one: one household has 2⁶⁴ addresses and is still one client."""
    try:
        return str(IPv4Address(text))
    except AddressValueError:
        pass
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return None
    return str(address.ipv4_mapped or IPv6Network((int(address), 64), strict=False))
