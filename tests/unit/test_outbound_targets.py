from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.outbound import BlockedAddress
from foundation.outbound.targets import read_target


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://example.com", ("https", "example.com", 443)),
        ("HTTPS://Example.COM/Path?q=1#part", ("https", "example.com", 443)),
        ("http://example.com:8080/", ("http", "example.com", 8080)),
        ("https://example.com.:8443/", ("https", "example.com", 8443)),
        ("https://93.184.216.34/", ("https", "93.184.216.34", 443)),
        ("https://[2606:4700:4700::1111]/", ("https", "2606:4700:4700::1111", 443)),
        ("https://bücher.example/ä?ö=ü", ("https", "xn--bcher-kva.example", 443)),
        ("https://under_score.example-1.com/", ("https", "under_score.example-1.com", 443)),
    ],
)
def test_an_ordinary_address_is_read(url: str, origin: tuple[str, str, int]) -> None:
    assert read_target(url, allow_private=False).origin == origin


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "data:text/plain,x",
        "javascript:alert(1)",
        "unix:///var/run/docker.sock",
        "//example.com/",
        "/path",
        "example.com",
        "",
        "http://",
        "http:///path",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://:pass@example.com/",
        "http://127.0.0.1@example.com/",
        "http://example.com:22/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:-1/",
        "http://example.com:8080x/",
        "http://example.com\\@127.0.0.1/",
        "http:\\\\example.com/",
        "http://exam ple.com/",
        "http://example.com/a b",
        "http://example.com/\r\nHost: internal",
        "http://example.com\t/",
        "http://example.com/\0",
        "http://exa%6dple.com/",
        "http://127%2e0%2e0%2e1/",
        "http://-example.com/",
        "http://example..com/",
        "http://[::1/",
        "http://[example.com]/",
        "http://[v1.fe80::a]/",
        "http://" + "a" * 64 + ".com/",
        "http://" + "a." * 130 + "com/",
        "http://example.com/" + "a" * 9_000,
    ],
)
def test_an_address_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(BlockedAddress):
        read_target(url, allow_private=False)


PRIVATE = [
    "http://127.0.0.1/",
    "http://10.1.2.3/",
    "http://192.168.0.1/",
    "http://172.16.0.1/",
    "http://100.64.0.1/",
    "http://[::1]/",
    "http://[fd12::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://a.localhost/",
    "http://db.railway.internal/",
    "http://host.docker.internal/",
    "http://printer.local/",
    "http://router.home.arpa/",
    "http://intranet/",
]
NEVER = [
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://1.2.3.4.5/",
    "http://127.0.0.1.1/",
    "http://example.0x7f/",
    "http://999.1.1.1/",
    "http://0.0.0.0/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.100.100.200/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[2001:0:53aa:64c::1]/",
    "http://[ff02::1]/",
    "http://[fd00:ec2::254]/",
    "http://metadata/",
    "http://metadata.google.internal/",
    "http://metadata.goog/",
]


@pytest.mark.parametrize(
    "url", [*PRIVATE, *NEVER, "http://①②⑦.⓪.⓪.①/", "http://127。0。0。1/", "http://１２７.0.0.1/"]
)
def test_nobody_is_led_into_a_private_network(url: str) -> None:
    with pytest.raises(BlockedAddress):
        read_target(url, allow_private=False)


@pytest.mark.parametrize("url", [*PRIVATE, "http://kong:8000/", "http://127.0.0.1:54321/auth"])
def test_an_operator_may_name_a_private_host_and_any_port(url: str) -> None:
    assert read_target(url, allow_private=True).url.scheme == "http"


@pytest.mark.parametrize("url", NEVER)
def test_some_places_are_closed_to_the_operator_too(url: str) -> None:
    with pytest.raises(BlockedAddress):
        read_target(url, allow_private=True)


def test_a_refusal_does_not_repeat_the_address() -> None:
    with pytest.raises(BlockedAddress) as refusal:
        read_target("http://127.0.0.1/?token=secret", allow_private=False)

    assert "secret" not in refusal.value.detail
    assert "127" not in refusal.value.detail
    assert refusal.value.status == 400


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "0x{:x}", "0{:o}", "{}."]))
def test_a_number_is_never_taken_for_a_name(number: int, form: str) -> None:
    with pytest.raises(BlockedAddress):
        read_target(f"http://{form.format(number)}/", allow_private=False)


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_read_or_refused(text: str, allow_private: bool) -> None:
    for url in (text, f"http://{text}", f"http://example.com/{text}"):
        try:
            target = read_target(url, allow_private=allow_private)
        except BlockedAddress:
            continue
        assert target.origin[0] in {"http", "https"}
