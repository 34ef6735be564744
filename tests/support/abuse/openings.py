"""Openings that are none, or hardly: requests as no client of a WebSocket sends them."""

from __future__ import annotations

from tests.support.abuse.case import OPEN, Case, Manner, Place, Way
from tests.support.bare import PING, frame, message, opening

__all__ = ["opening_cases"]

REFUSED = frozenset[Way]({400, 403, 404, 405, 426, 431})
SHUT = REFUSED | {"end", "reset"}
LATE = frozenset[Way]({4401})
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
VERSION = b"Sec-WebSocket-Version: 13"


def opening_cases(token: str) -> list[Case]:
    return [
        *(_raw(name, _changed(*change), wants=REFUSED) for name, change in CHANGES.items()),
        *(_raw(name, sent, wants=SHUT) for name, sent in STRANGE.items()),
        *_taken(token),
        *_silences(),
    ]


# What is replaced in a good opening, and by what.
CHANGES: dict[str, tuple[bytes, bytes]] = {
    "version 12": (VERSION, b"Sec-WebSocket-Version: 12"),
    "no version": (VERSION, b"X: x"),
    "two versions": (VERSION, VERSION + b"\r\n" + VERSION),
    "no key": (KEY, b"X: x"),
    "an empty key": (KEY, b"Sec-WebSocket-Key: "),
    "a short key": (KEY, b"Sec-WebSocket-Key: AAAA"),
    "a long key": (KEY, b"Sec-WebSocket-Key: " + b"A" * 64),
    "two keys": (KEY, KEY + b"\r\n" + KEY),
    "a key that is no base64": (KEY, b"Sec-WebSocket-Key: ######################=="),
    "a key beyond ASCII": (KEY, b"Sec-WebSocket-Key: \xff\xfe\xfdAAAAAAAAAAAAAAAAAAA=="),
    "POST": (b"GET", b"POST"),
    "a method nobody knows": (b"GET", b"FROB"),
    "HTTP/1.0": (b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/2.0": (b"HTTP/1.1", b"HTTP/2.0"),
    "a body": (b"Host: x", b"Host: x\r\nContent-Length: 3"),
    "a body in chunks": (b"Host: x", b"Host: x\r\nTransfer-Encoding: chunked"),
    "a body of two sizes": (b"Host: x", b"Host: x\r\nContent-Length: 3\r\nContent-Length: 4"),
    "another protocol first": (b"Upgrade: websocket", b"Upgrade: h2c\r\nUpgrade: websocket"),
    "another protocol last": (b"Upgrade: websocket", b"Upgrade: websocket\r\nUpgrade: h2c"),
    "an upgrade to h2c": (b"Upgrade: websocket", b"Upgrade: h2c"),
    "headers of 40 kB": (b"Host: x", b"Host: x\r\nX: " + b"x" * 40_000),
    "headers of 30 kB": (b"Host: x", b"Host: x\r\nX: " + b"x" * 30_000),
    "200 headers": (b"Host: x", b"Host: x" + b"\r\nX: x" * 200),
    "a folded header": (b"Host: x", b"Host: x\r\n  y"),
    "a header without a name": (b"Host: x", b"Host: x\r\n: x"),
    "a NUL in a header": (b"Host: x", b"Host: x\r\nX: \x00"),
    "another path": (b"/ws", b"/elsewhere"),
    "a path beyond ASCII": (b"/ws", b"/ws\xff"),
    "a query beyond ASCII": (b"/ws", b"/ws?token=\xff\xfe"),
    "a path with a NUL": (b"/ws", b"/ws\x00"),
    "two origins": (b"Host: x", b"Host: x\r\nOrigin: https://a.example\r\nOrigin: https://b.example"),
    "a subprotocol beyond ASCII": (b"Host: x", b"Host: x\r\nSec-WebSocket-Protocol: jwt-\xff\xfe"),
}

STRANGE: dict[str, bytes] = {
    "garbage before": b"\x00\xff\x00garbage\r\n\r\n" + opening(),
    "a frame in place of an opening": frame(PING, b"x") * 10,
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "a line of 100 kB": b"GET /" + b"x" * 100_000,
    "an SSH banner": b"SSH-2.0-OpenSSH_9.7\r\n\r\n",
    "HTTP/0.9": b"GET /ws\r\n\r\n",
}


def _taken(token: str) -> list[Case]:
    """Odd, and good enough to be let in."""
    many = b"Sec-WebSocket-Protocol: " + b", ".join(b"p%d" % number for number in range(100))
    auth = message("auth", token=token)
    signed = opening(token=token)
    return [
        _raw("a sign-in in the packet of the opening", opening() + auth, wants=OPEN),
        _raw("pings in the packet of the opening", signed + frame(PING, b"x") * 3, wants=OPEN),
        _raw("half a frame in the packet of the opening", opening() + auth[:9], 0.2, auth[9:], wants=OPEN),
        _raw("a broken frame in the packet of the opening", opening() + frame(3), wants=frozenset({1002})),
        _raw("an opening one byte at a time", opening() + auth, wants=OPEN, manner=Manner.DRIP),
        _raw("100 subprotocols", _changed(b"Host: x", b"Host: x\r\n" + many), auth, wants=OPEN),
        _raw(
            "a compression nobody agrees to",
            _changed(b"Host: x", b"Host: x\r\nSec-WebSocket-Extensions: permessage-deflate; a=b"),
            auth,
            wants=OPEN,
        ),
    ]


def _silences() -> list[Case]:
    whole = opening()
    gone = frozenset[Way]({"end", "reset"})
    left = frozenset[Way]({"left"})
    cases = [
        _raw("an opening and nothing more", whole, wants=LATE),
        _raw("an opening, half a frame and nothing more", whole, frame(1, b"x" * 99)[:9], wants=LATE),
        _raw("half an opening and nothing more", whole[:60], wants=gone),
        _raw("nothing at all", wants=gone),
        _raw("half an opening and half an end", whole[:60], wants=gone, manner=Manner.HALF),
    ]
    return cases + [
        _raw(f"a reset {size} bytes into the opening", whole[:size], wants=left, manner=Manner.RESET)
        for size in (0, 1, 60, len(whole) - 1, len(whole))
    ]


def _raw(name: str, *sends: bytes | float, wants: frozenset[Way], manner: Manner = Manner.WHOLE) -> Case:
    return Case(name, Place.RAW, sends, wants, manner)


def _changed(old: bytes, new: bytes) -> bytes:
    good = opening()
    assert old in good
    return good.replace(old, new, 1)
