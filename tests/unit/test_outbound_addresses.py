from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.outbound.addresses import Reach, reach


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.15.0.1", "172.32.0.1", "100.63.0.1"]
)
def test_an_ordinary_ipv4_address_is_public(text: str) -> None:
    assert reach(ip_address(text)) is Reach.PUBLIC


@pytest.mark.parametrize(
    "text", ["2606:4700:4700::1111", "2a00:1450:4001::200e", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_an_ordinary_ipv6_address_is_public(text: str) -> None:
    assert reach(ip_address(text)) is Reach.PUBLIC


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "127.255.255.254",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "::1",
        "fd12:3456::1",
        "fc00::1",
        "::ffff:127.0.0.1",
        "::ffff:100.64.0.1",
        "64:ff9b::a00:1",
    ],
)
def test_this_machine_and_its_networks_are_private(text: str) -> None:
    assert reach(ip_address(text)) is Reach.PRIVATE


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",  # noqa: S104
        "0.1.2.3",
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::7f00:1",
        "::ffff:169.254.169.254",
        "::ffff:0:0",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:53aa:64c::1",
        "2001:db8::1",
        "2002:a9fe:a9fe::",
        "2002:808:808::",
        "3fff::1",
        "5f00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "fd00:ec2::254",
        "ff02::1",
        "ff0e::1",
        "2606:4700:4700::1111%eth0",
    ],
)
def test_special_addresses_are_forbidden_to_everybody(text: str) -> None:
    assert reach(ip_address(text)) is Reach.FORBIDDEN


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_is_public_that_python_calls_local(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast:
        assert reach(address) is not Reach.PUBLIC


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_is_public_that_python_calls_local(address: IPv6Address) -> None:
    if not address.is_global or address.is_multicast:
        assert reach(address) is not Reach.PUBLIC


@given(st.ip_addresses(v=4), st.sampled_from([0xFFFF << 32, 0x64FF9B << 96]))
def test_wrapping_an_ipv4_address_in_ipv6_changes_nothing(address: IPv4Address, prefix: int) -> None:
    assert reach(IPv6Address(prefix | int(address))) is reach(address)
