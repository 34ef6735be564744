"""Requests whose head is wrong: its lines, its headers, the type of the body it announces."""

from __future__ import annotations

from random import Random
from typing import Final

import orjson

from tests.support.malformed.case import HEAD, JSON, UNREADABLE, Given, Malformed, asked, codes
from tests.support.malformed.doors import EXECUTE, door_of, execute_document
from tests.support.raw import request_head

__all__ = ["content_type", "headers", "multipart"]

# More than the connection itself holds: it is refused unread, and the answer may be lost.
LARGE_BYTES: Final = 60_000
TYPES: Final = (
    "", "text/plain", "text/json", "application/json5", "application/jsonp", "application/ld+json", "json",
    "application/x-www-form-urlencoded", "application/json,text/html", "application", "/json", "*/*",
    "text/html",
    "application/json/x", "application\\json", "application/xml", "application/octet-stream", "image/svg+xml",
    "application/json\tx", "\"application/json\"", "application/graphql", "application/x-protobuf",
)  # fmt: skip
ENCODINGS: Final = (
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, identity",
    "x",
    "aes128gcm",
    "compress",
    "chunked",
)
ALPHABETS: Final = ("utf-16", "utf-32", "utf-16-be", "cp500")
# In the place of a good head's one line; `\0` and the like as they are.
LINES: Final = (
    b"no colon", b": no name", b"name with space: x", b"x : space before the colon", b"x\0y: z", b"x: a\0b",
    b"\xff\xfe: x", b"x\x7f: y", b"(x): y", b"x@y: z", b"\tx: y", b"x: a\x01b", b"{x}: y", b"x\"y: z",
    b"content-length: -1", b"content-length: x", b"content-length: 1e3", b"content-length: 0x10",
    b"content-length: 1\r\ncontent-length: 2", b"content-length: " + b"9" * 40, b"content-length: 1 2",
    b"content-length: 5\r\ntransfer-encoding: chunked", b"transfer-encoding: chunked, identity",
    b"transfer-encoding: chunked\r\ncontent-length: 3", b"content-length: +3",
)  # fmt: skip
STARTS: Final = (
    b"FROB /api/credits HTTP/1.1", b"get /api/credits HTTP/1.1", b"GET /api/credits HTTP/9.9", b"GET",
    b"GET /api/credits HTTP/1.1x", b"GET /api/credits FTP/1.1", b"GET /api/credits HTTP/1",
    b"/api/credits HTTP/1.1",
    b"GET  HTTP/1.1", b"\0GET /api/credits HTTP/1.1", b"GET /api/credits\0 HTTP/1.1", b"\xffGET / HTTP/1.1",
    b"GET /api/credits HTTP/-1.1", b"GET /api/credits HTTP/1.1 x", b"G\rET / HTTP/1.1", b"GET /\x01 HTTP/1.1",
)  # fmt: skip
BAD_KEYS: Final = ("", " ", '""', "\t", "caf\u00e9", "a\x7fb", "\x80", "a\tb", "\u00a0", "\xff\xff")
BAD_POSITIONS: Final = (
    "x", "-1", "1.5", "1e3", "0x1", "99999999999", "2147483648", "1;2", "1,2", "NaN", "+1", "' or 1=1 --",
    "1 2",
    "9" * 300, "\xb2", "null",
)  # fmt: skip
BAD_BEARERS: Final = (
    "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "bearer", "Bearer null", "Bearer a b", "Token x",
    "Bearer a.b.c",
    "Bearer ..", "Bearer \xff", "eyJ.eyJ.x", "Bearer {}", "Digest a=b", "Bearer Bearer x",
)  # fmt: skip


def headers(dice: Random, given: Given) -> Malformed:
    make = dice.choice([_line, _line, _start, _start, _key, _position, _credential, _credential, _too_large])
    return make(dice, given)


def _line(dice: Random, given: Given) -> Malformed:
    line = dice.choice(LINES).replace(b"x", dice.choice([b"x", b"x-note", b"X" * dice.randint(1, 90)]))
    good = request_head("GET", "/api/credits", [given.user])
    request = good.replace(b"host: x", line + b"\r\nhost: x", 1)
    return Malformed(f"the line {line!r:.60}", request, HEAD)


def _start(dice: Random, given: Given) -> Malformed:
    start = dice.choice(STARTS)
    good = request_head("GET", "/api/credits", [given.user])
    return Malformed(f"it starts with {start!r}", start + good[good.index(b"\r\n") :], HEAD)


def _key(dice: Random, given: Given) -> Malformed:
    bad = dice.choice([*BAD_KEYS, "k" * dice.randint(256, 7_000), f'"{"k" * 256}"'])
    keys = [("idempotency-key", bad)] if dice.random() < 0.8 else [("idempotency-key", "a")] * 2
    request = _encoded(EXECUTE, [given.user, JSON, *keys], orjson.dumps(execute_document(given)))
    # With a DEL in it there is no header that could be named.
    field = None if "\x7f" in bad else "Idempotency-Key"
    return Malformed(f"the key {keys!r:.60}", request, HEAD, field)


def _position(dice: Random, given: Given) -> Malformed:
    bad = dice.choice([*BAD_POSITIONS, str(dice.randint(2**31, 2**90)), "-" + str(dice.randint(1, 999))])
    accept = ("accept", dice.choice(["text/event-stream", "application/json"]))
    lines = [given.user, accept, ("last-event-id", bad)]
    return Malformed(
        f"after {bad!r:.40}", asked("GET", f"/api/runs/{given.run_id}/events", lines), codes("bad_cursor")
    )


def _credential(dice: Random, given: Given) -> Malformed:
    path = dice.choice(["/api/credits", "/api/runs", f"/api/runs/{given.run_id}"])
    secret, _ = given.service
    wrong: list[tuple[list[tuple[str, str]], frozenset[str]]] = [
        ([("authorization", dice.choice(BAD_BEARERS))], codes("invalid_token")),
        ([("authorization", f"Bearer {given.token[: dice.randrange(1, 60)]}")], codes("invalid_token")),
        ([given.user, given.user], codes("conflicting_credentials")),
        ([secret, ("x-user-id", dice.choice(["", "x", "' or 1=1 --", "0" * 31, "{}"]))], NO_USER),
        ([secret], NO_USER),
        ([("x-api-key", dice.choice(["", "x", "sy_", "k" * 5_000, "\xff"]))], codes("invalid_token")),
    ]
    lines, wants = dice.choice(wrong)
    return Malformed(f"the credentials {lines!r:.80}", asked("GET", path, lines), wants)


NO_USER: Final = codes("conflicting_credentials", "invalid_request", "invalid_token")


def _too_large(dice: Random, given: Given) -> Malformed:
    count = dice.choice([1, 3, 400])
    lines = [("x-note", "x" * (dice.randint(33_000, 60_000) // count))] * count
    return Malformed("a head of more than 32 kB", asked("GET", "/api/credits", lines), HEAD, may_be_cut=True)


def multipart(dice: Random, given: Given) -> Malformed:
    """No door takes a form: it is refused by its type, and its body is not what JSON is."""
    door = door_of(dice, given)
    boundary = dice.choice(["x", "", "-" * 70, "a b", "\xe9", "x" * 300, '"x"', "x; y=z", "()<>@", "--"])
    kind = dice.choice(["form-data", "mixed", "related", "byteranges", "form-data "])
    told = dice.choice([f"multipart/{kind}; boundary={boundary}", f"multipart/{kind}", "multipart/"])
    body = _form(dice, boundary)
    if dice.random() < 0.15:
        return Malformed("a form that says it is JSON", door.asked(body or b"--"), UNREADABLE)
    request = _encoded(door.path, [*door.headers, ("content-type", told)], body)
    name, is_large = f"{door.path}: {told!r:.60}", len(request) > LARGE_BYTES
    return Malformed(name, request, codes("unsupported_media_type"), may_be_cut=is_large)


def _form(dice: Random, boundary: str) -> bytes:
    mark = b"--" + boundary.encode("latin-1", "replace")
    name = dice.choice([b"a", b"", b'a"b', b"../../etc/passwd", b"a\0b", b"x" * 9_000, b"\xff"])
    disposition = b'Content-Disposition: form-data; name="file"; filename="' + name + b'"\r\n'
    head = disposition + dice.choice([b"", b"Content-Type: \r\n", b"Content-Length: -1\r\n", b"x\r\n"])
    parts = [mark + b"\r\n" + head + b"\r\n" + dice.randbytes(dice.randint(0, 200)) + b"\r\n"]
    whole = b"".join(parts * dice.choice([1, 2, 500])) + mark + dice.choice([b"--\r\n", b"", b"--", b"\r\n"])
    return whole[: dice.randrange(len(whole))] if dice.random() < 0.3 else whole


def content_type(dice: Random, given: Given) -> Malformed:
    door = door_of(dice, given)
    good = orjson.dumps(door.good)
    match dice.randrange(5):
        case 0 | 1:
            told = dice.choice([*TYPES, f"application/{dice.randbytes(3).hex()}+json", "a" * 900])
            lines = [("content-type", told)] if told != "" or dice.random() < 0.5 else []
        case 2:
            lines = [JSON, ("content-encoding", dice.choice(ENCODINGS))]
        case 3:
            twice = [("content-type", dice.choice(["application/json", "text/plain"])), JSON]
            return Malformed(f"{door.path}: two types", door.asked(good, headers=twice), UNREADABLE)
        case _:
            alphabet = dice.choice(ALPHABETS)
            lines = [("content-type", f"application/json; charset={alphabet}")]
            encoded = good.decode().encode(alphabet)
            return Malformed(f"{door.path}: {alphabet}", door.asked(encoded, headers=lines), UNREADABLE)
    request = door.asked(good, headers=lines)
    return Malformed(f"{door.path}: {lines!r:.60}", request, codes("unsupported_media_type"))


def _encoded(path: str, lines: list[tuple[str, str]], body: bytes) -> bytes:
    """A POST whose header values may hold any byte."""
    told = [("connection", "close"), ("host", "x"), *lines, ("content-length", str(len(body)))]
    head = "".join(f"{name}: {value}\r\n" for name, value in told)
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body
