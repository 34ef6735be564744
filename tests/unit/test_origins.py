"""What an address of another backend may look like; the table that both languages share has the rest."""

from __future__ import annotations

import pytest

from foundation.origins import read_origin


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://other.example", "https://other.example"),
        ("https://Other.Example:443/", "https://other.example"),
        ("https://other.example.:8443", "https://other.example:8443"),
        ("https://localhost:8443", "https://localhost:8443"),
    ],
)
def test_an_origin_is_always_spelt_the_same(address: str, origin: str) -> None:
    assert read_origin(address) == origin


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://other.example",
        "https://user@other.example",
        "https://other.example/path",
        "https://other.example?query",
        "https://other.example:0",
        "https://other.example:65536",
        "https://[::1]",
        "https://other.example\n",
        " https://other.example",
        f"https://{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}",
    ],
)
def test_anything_fancier_is_none(address: str) -> None:
    assert read_origin(address) is None
