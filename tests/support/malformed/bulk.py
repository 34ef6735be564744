"""Bodies that are too much: nested too deeply, too long, too many of something."""

from __future__ import annotations

from random import Random

from orjson import dumps

from tests.support.malformed.case import BODY, JSON, UNREADABLE, Given, Malformed, codes
from tests.support.malformed.doors import EXECUTE, MARK, changed, door_of, execute_document, with_literal
from tests.support.raw import request_head

__all__ = ["depth", "size"]

MEGABYTE = 2**20
# Nobody reads them, and whoever could be hurt by their depth comes before.
IGNORED = ("agentConfig", "functionResults", "userId")


def depth(dice: Random, given: Given) -> Malformed:
    field = dice.choice(["input", "metadata", *IGNORED])
    is_beyond_reading = dice.random() < 0.3
    levels = dice.randint(1_100, 60_000) if is_beyond_reading else dice.randint(66, 900)
    text = with_literal(changed(execute_document(given), (field,), MARK), _nested(dice, levels))
    request = _execute(given, text)
    return Malformed(f"{field} {levels} deep", request, UNREADABLE if is_beyond_reading else BODY, field)


def _nested(dice: Random, levels: int) -> bytes:
    """An object with so many lists and objects in it, one in the other."""
    openings = dice.choices(["[", '{"a":'], k=levels)
    closings = ["]" if each == "[" else "}" for each in reversed(openings)]
    inner = dice.choice(["1", "[]", "null", '"x"'])
    return "".join(['{"a":', *openings, inner, *closings, "}"]).encode()


def size(dice: Random, given: Given) -> Malformed:
    make = dice.choice([_announced, _announced, _growing, _too_many, _too_long, _too_long])
    return make(dice, given)


def _announced(dice: Random, given: Given) -> Malformed:
    door = door_of(dice, given)
    limit = (50 if "execute" in door.path else 1) * MEGABYTE
    claimed = limit + dice.choice([1, 2, 10**6, 10**12, 2**63 - 1 - limit])
    head = request_head("POST", door.path, [*door.headers, JSON, ("content-length", str(claimed))])
    return Malformed(f"{door.path}: {claimed} bytes announced", head, codes("too_large"))


def _growing(dice: Random, given: Given) -> Malformed:
    """Chunk after chunk, and no length told before."""
    path = dice.choice(["/api/keys", "/api/conversations"])
    head = request_head("POST", path, [given.user, JSON, ("transfer-encoding", "chunked")])
    chunk = b" " * dice.choice([65_536, 300_000])
    sent = (b"%x\r\n%b\r\n" % (len(chunk), chunk)) * (MEGABYTE // len(chunk) + 1)
    return Malformed(f"{path}: chunks without end", head + sent, codes("too_large"), may_be_cut=True)


def _too_many(dice: Random, given: Given) -> Malformed:
    count = dice.randint(1_001, 3_000)
    body = changed(execute_document(given), ("messages",), [{"role": "user", "content": "x"}] * count)
    return Malformed(f"{count} messages", _execute(given, dumps(body)), BODY, "messages")


def _too_long(dice: Random, given: Given) -> Malformed:
    letter, more = dice.choice(["x", "\u00fc", "\U0001f469"]), dice.randint(1, 500)
    long = letter * (100 + more)
    match dice.randrange(4):
        case 0:
            body = changed(execute_document(given), ("metadata",), {"a": letter * (16_400 + more)})
            return Malformed("metadata too long", _execute(given, dumps(body)), BODY, "metadata")
        case 1:
            message = {"role": "user", "content": letter * (2_000_000 + more)}
            body = changed(execute_document(given), ("messages",), [message])
            return Malformed("messages too long", _execute(given, dumps(body)), BODY, "messages")
        case 2:
            key = dumps({"name": long})
            return Malformed("a key's name too long", _post("/api/keys", given, key), BODY, "name")
        case _:
            titled = dumps({"title": long * 2})
            return Malformed("a title too long", _post("/api/conversations", given, titled), BODY, "title")


def _execute(given: Given, body: bytes) -> bytes:
    return _post(EXECUTE, given, body)


def _post(path: str, given: Given, body: bytes) -> bytes:
    return request_head("POST", path, [given.user, JSON, ("content-length", str(len(body)))]) + body
