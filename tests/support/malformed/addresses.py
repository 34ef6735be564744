"""Requests whose address is wrong: what follows the question mark, and the path before it."""

from __future__ import annotations

from random import Random
from typing import Final
from urllib.parse import quote, quote_from_bytes
from uuid import UUID

from tests.support.malformed.case import Given, Malformed, asked, codes

__all__ = ["path", "query"]

NO_NUMBERS: Final = (
    "", "x", "-1", "1.5", "1e3", "0x10", "%00", "%FF", "%C3%28", "%ED%A0%80", "1%00",
    "99999999999999999999", "NaN",
    "true", "null", "1;2", "1,2", "[]", "{}", "'%20or%201=1--", "%zz", "%", "%2", "1%0d%0aX:%20y", "1/2",
    "--1",
    "1%202", "%F0%9F%98%80", "Infinity", "$1", "../1", "1e999",
)  # fmt: skip
NO_IDS: Final = (
    "x", "%00", "%FF", "%C0%AE", "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "*", "%7B{id}%7D", "{id}x",
    "{id}%00", "{bare}",
    "urn:uuid:{id}", "{id};a=b", "{id}%20", "%20{id}", "'%20or%201=1%20--", "%0d%0aX:%20y", "{id}%0a", "-1",
    "0", "null",
    "%E2%80%AE{id}", "{id}%2F", "{id}.json", "$(id)", "{{7*7}}", "%25%30%30", "{id}%26a=b", "~", "%C3%28",
)  # fmt: skip
# What an address may hold that the parser of requests may not take.
REFUSED: Final = codes("not_found", "method_not_allowed", "invalid_request")
STRANGE: Final = (
    "", "//", "/api//credits", "/api/./credits", "/api/credits/", "/API/CREDITS", "/api/credits%00",
    "/api/credits/..",
    "/%2e%2e/%2e%2e/etc/passwd", "/api/credits;x=y", "/..;/api/credits", "/api\\credits",
    "/%",
    "/%zz", "/api/credits#x", "/.env", "/.git/config", "/etc/passwd", "/api/credits%20", "/\xff\xfe",
    "/api/\xe9",
    "*", "api/credits", "/api/runs/%", "/docs/../openapi", "/cgi-bin/%%32%65", "/api/credits.json",
    "/wp-login.php",
)  # fmt: skip


def query(dice: Random, given: Given) -> Malformed:
    events = f"/api/runs/{given.run_id}/events"
    place, name, wants = dice.choice(
        [
            ("/api/runs", "limit", codes("invalid_request")),
            ("/api/runs", "before", codes("bad_cursor")),
            (events, "limit", codes("invalid_request")),
            (events, "wait", codes("invalid_request")),
            (events, "after", codes("bad_cursor")),
        ]
    )
    value = dice.choice([*NO_NUMBERS, quote(str(-dice.randint(1, 10**9))), "9" * dice.randint(11, 4_000)])
    if name == "before" and dice.random() < 0.5:
        value = _no_id(dice, given.run_id)
    around = dice.choice(["", "", "x=1&", "a[]=1&", "&&", "%00=1&"])
    target = f"{place}?{around}{name}={value}"
    told = None if name == "after" else name
    accept = ("accept", dice.choice(["application/json", "*/*"]))
    return Malformed(f"{target:.90}", asked("GET", target, [given.user, accept]), wants, told)


def path(dice: Random, given: Given) -> Malformed:
    if dice.random() < 0.25:
        return _strange(dice, given)
    unknown = dice.random() < 0.1
    bad = str(UUID(int=dice.getrandbits(128))) if unknown else _no_id(dice, given.run_id)
    method, template, code = dice.choice(
        [
            ("GET", "/api/runs/{}", "run_not_found"),
            ("GET", "/api/runs/{}/events", "run_not_found"),
            ("GET", "/api/runs/{}/receipt", "run_not_found"),
            ("POST", "/api/runs/{}/cancel", "run_not_found"),
            ("GET", "/api/runs/{}/artifacts/a.txt", "run_not_found"),
            ("GET", f"/api/runs/{given.run_id}/artifacts/{{}}", "artifact_not_found"),
            ("GET", "/api/conversations/{}", "conversation_not_found"),
            ("GET", "/api/agent/metrics/{}", "agent_not_found"),
            ("DELETE", "/api/keys/{}", "not_found"),
        ]
    )
    target = template.format(bad)
    return Malformed(f"{method} {target:.90}", asked(method, target, [given.user]), REFUSED | {code})


def _strange(dice: Random, given: Given) -> Malformed:
    target = dice.choice([*STRANGE, "/" + quote_from_bytes(dice.randbytes(dice.randint(1, 400)))])
    method = dice.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    head = asked(method, "<target>", [given.user]).replace(b"<target>", target.encode("latin-1"))
    # Some are under `/api/runs/`, where what follows is an id.
    return Malformed(f"{method} {target!r:.90}", head, REFUSED | {"run_not_found"})


def _no_id(dice: Random, real: str) -> str:
    drawn = [quote_from_bytes(dice.randbytes(dice.randint(1, 60))), "a" * dice.randint(300, 7_000)]
    bad: str = dice.choice([*NO_IDS, *drawn])
    return bad.replace("{id}", real).replace("{bare}", real.replace("-", ""))
