"""What a redirect may change: the next request, or a refusal.

Pure. A redirect never carries the caller's headers or body to another origin, and never leaves HTTPS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from foundation.outbound.errors import BlockedAddress
from foundation.outbound.messages import Request
from foundation.outbound.targets import Target, join, read_target

__all__ = ["after_redirect", "is_redirect"]

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
HARMLESS_HEADERS: Final = frozenset({"accept", "accept-language", "user-agent"})


def is_redirect(status: int, headers: Mapping[str, str]) -> bool:
    return status in REDIRECTS and "location" in headers


def after_redirect(request: Request, *, status: int, location: str) -> Request:
    """The request that follows `location`.

    Raises:
        BlockedAddress: it leads somewhere the request may not go.
    """
    url = join(request.target, location)
    target = read_target(url, allow_private=request.allow_private)
    same_origin = target.origin == request.target.origin
    if not same_origin:
        read_target(url, allow_private=False)
    if request.target.origin[0] == "https" and target.origin[0] == "http":
        raise BlockedAddress("the redirect leaves HTTPS")
    followed = replace(request, target=target) if _keeps_method(request, status) else _as_get(request, target)
    if same_origin:
        return followed
    if followed.body is not None:
        raise BlockedAddress("the redirect would send the body to another origin")
    harmless = {name: value for name, value in followed.headers.items() if name in HARMLESS_HEADERS}
    return replace(followed, headers=harmless, allow_private=False)


def _keeps_method(request: Request, status: int) -> bool:
    """301 and 302 turn a POST into a GET, as every browser does; 303 turns all but HEAD.

    Source: RFC 9110, section 15.4.
    """
    if status in {307, 308}:
        return True
    return request.method in {"GET", "HEAD"} or (status in {301, 302} and request.method != "POST")


def _as_get(request: Request, target: Target) -> Request:
    headers = {name: value for name, value in request.headers.items() if name != "content-type"}
    return replace(request, target=target, method="GET", headers=headers, body=None)
