from __future__ import annotations

import pytest

from foundation.outbound import BlockedAddress
from foundation.outbound.messages import Request
from foundation.outbound.redirects import after_redirect
from foundation.outbound.targets import read_target

HEADERS = {
    "authorization": "Bearer secret",
    "cookie": "a=b",
    "accept": "text/html",
    "content-type": "text/plain",
}


def request(method: str = "GET", *, url: str = "https://a.example/x", body: bytes | None = None) -> Request:
    return Request(read_target(url, allow_private=False), method, HEADERS, body, allow_private=False)


@pytest.mark.parametrize(
    ("status", "method", "followed"),
    [
        (301, "GET", "GET"),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (302, "HEAD", "HEAD"),
        (302, "PUT", "PUT"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "DELETE", "DELETE"),
    ],
)
def test_the_method_changes_as_the_standard_says(status: int, method: str, followed: str) -> None:
    after = after_redirect(request(method, body=b"x"), status=status, location="/y")

    assert (after.method, str(after.target.url)) == (followed, "https://a.example/y")
    assert (after.body is None) == (after.method != method)


def test_the_same_origin_keeps_the_headers() -> None:
    assert after_redirect(request(), status=302, location="?page=2").headers == HEADERS


@pytest.mark.parametrize(
    "location", ["https://b.example/", "https://a.example:8443/", "//b.example/", "https://sub.a.example/"]
)
def test_another_origin_gets_no_credential(location: str) -> None:
    after = after_redirect(request(), status=302, location=location)

    assert after.headers == {"accept": "text/html"}


@pytest.mark.parametrize("status", [307, 308])
def test_another_origin_gets_no_body(status: int) -> None:
    with pytest.raises(BlockedAddress, match="body"):
        after_redirect(request("POST", body=b"x"), status=status, location="https://b.example/")


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest",
        "https://localhost/",
        "https://db.railway.internal/",
        "https://user:pass@b.example/",
        "https://b.example:22/",
        "file:///etc/passwd",
        "https://[::1]/",
        "http://[::ffff:7f00:1]/",
        "https://[::1",
        "https://0x7f000001/",
        "\\\\internal\\share",
        "https://b.example/\nx",
    ],
)
def test_a_redirect_is_judged_like_any_address(location: str) -> None:
    with pytest.raises(BlockedAddress):
        after_redirect(request(), status=302, location=location)


def test_a_redirect_does_not_leave_https() -> None:
    with pytest.raises(BlockedAddress, match="HTTPS"):
        after_redirect(request(), status=302, location="http://a.example/")


def test_http_may_become_https() -> None:
    after = after_redirect(request(url="http://a.example/"), status=301, location="https://a.example/")

    assert after.target.origin == ("https", "a.example", 443)


def test_the_operators_permission_ends_at_the_operators_origin() -> None:
    trusted = Request(
        read_target("http://127.0.0.1:54321/keys", allow_private=True), "GET", {}, None, allow_private=True
    )

    assert after_redirect(trusted, status=302, location="/other").allow_private
    assert not after_redirect(trusted, status=302, location="http://a.example/").allow_private
    for location in ("http://127.0.0.1:54322/", "http://10.0.0.1/", "http://kong:8000/"):
        with pytest.raises(BlockedAddress):
            after_redirect(trusted, status=302, location=location)
