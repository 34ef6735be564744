"""Messages on a socket that are none, or say nothing that can be done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Final

import orjson

from tests.support.malformed.bodies import no_json, wrong_letters
from tests.support.malformed.case import BODY, UNREADABLE, Given, codes
from tests.support.malformed.doors import Document, Path, changed, execute_document, named

__all__ = ["Said", "said"]

TEXT: Final[tuple[object, ...]] = (1, None, True, [], {}, 1.5)
POSITION: Final[tuple[object, ...]] = ("1", 1.5, None, True, [], {}, 2**70)


@dataclass(frozen=True)
class Said:
    """`is_last`: the socket is closed, for nobody knows what was meant."""

    name: str
    sent: bytes
    wants: frozenset[str]
    field: str | None = None
    is_last: bool = False


def said(dice: Random, given: Given) -> Said:
    return dice.choice([_unreadable, _no_message, _wrong, _wrong, _wrong, _letters, _nowhere])(dice, given)


def _messages(given: Given) -> list[Document]:
    return [
        {"type": "agent_execute", **execute_document(given), "idempotencyKey": "a"},
        {"type": "agent_resume", "runId": given.run_id, "after": 0},
        {"type": "agent_cancel", "runId": given.run_id},
        {"type": "auth", "token": given.token},
    ]


def _unreadable(dice: Random, given: Given) -> Said:
    name, sent = no_json(dice, orjson.dumps(dice.choice(_messages(given))))
    return Said(name, sent, UNREADABLE, is_last=True)


def _no_message(dice: Random, given: Given) -> Said:
    if dice.random() < 0.5:
        top = dice.choice([b"[]", b"1", b'"ping"', b"null", b"{}", b'{"type":1}', b'{"type":null}'])
        return Said(repr(top), top, UNREADABLE, is_last=True)
    kind = dice.choice(["", "PING", "agent_execute ", "shutdown", "x" * dice.randint(1, 9_000), "\u202e"])
    sent = orjson.dumps({"type": kind, "token": given.token})
    return Said(f"type {kind!r:.40}", sent, codes("invalid_request"))


def _wrong(dice: Random, given: Given) -> Said:
    wrong: dict[str, dict[Path, tuple[object, ...]]] = {
        "agent_execute": {
            ("agentId",): (1, True, [], {}, "x", ""),
            ("messages",): (1, "x", {}, None),
            ("messages", 0, "role"): (1, "x", None),
            ("messages", 0, "content"): TEXT,
            ("stream",): (0, 1, "true", None),
            ("input",): (1, "x", []),
            ("conversationId",): (1, "x", []),
            ("idempotencyKey",): (1, True, [], {}),
            ("requestId",): (1, True, [], {}),
        },
        "agent_resume": {("runId",): TEXT, ("after",): POSITION},
        "agent_cancel": {("runId",): TEXT},
        "auth": {("token",): TEXT},
    }
    message = dice.choice(_messages(given))
    if dice.random() < 0.25:
        name = "".join(dice.choices("abcdefgh_XYZ", k=dice.randint(2, 40)))
        return Said(f"a field {name}", orjson.dumps({**message, name: 1}), BODY, name)
    fields = wrong[str(message["type"])]
    path = dice.choice(list(fields))
    value = dice.choice(fields[path])
    sent = json.dumps(changed(message, path, value)).encode()
    return Said(f"{message['type']} with {named(path)}={value!r:.40}", sent, BODY, named(path))


def _letters(dice: Random, given: Given) -> Said:
    message = dice.choice(_messages(given))
    field = dice.choice([each for each in message if each != "type"])
    name, literal, wants = wrong_letters(dice)
    mark = changed(message, (field,), "<mark>")
    sent = orjson.dumps(mark).replace(b'"<mark>"', literal)
    is_last = wants is UNREADABLE
    return Said(f"{message['type']} with {name} in {field}", sent, wants, field, is_last=is_last)


def _nowhere(dice: Random, given: Given) -> Said:
    resume = {"type": "agent_resume", "runId": given.run_id}
    cancel = {"type": "agent_cancel", "runId": given.run_id}
    key = {"type": "agent_execute", **execute_document(given)}
    bad_id = dice.choice(["", "x", "' or 1=1 --", "\u202e", "0" * 900, "{}", f"{{{given.run_id}}}"])
    position = dice.choice([-1, 10**6, 2**31, 2**53, -(2**31), 2**63 - 1])
    chosen: list[tuple[Document, frozenset[str]]] = [
        ({**resume, "after": position}, codes("bad_cursor")),
        ({**resume, "runId": bad_id}, codes("run_not_found")),
        ({**cancel, "runId": bad_id}, codes("run_not_found")),
        ({**key, "idempotencyKey": dice.choice(["", " ", "\u00e9", "k" * 256])}, codes("invalid_request")),
        ({"type": "auth", "token": dice.choice(["", "x", "a.b.c", "k" * 9_000])}, codes("invalid_token")),
    ]
    message, wants = dice.choice(chosen)
    return Said(f"{message['type']} {message!r:.80}", orjson.dumps(message), wants)
