"""The doors that take a body, what a good one is there, and what is wrong in each of its fields."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import orjson

from tests.support.malformed.case import JSON, Given, asked

__all__ = [
    "EXECUTE",
    "MARK",
    "Document",
    "Door",
    "Path",
    "changed",
    "door_of",
    "execute_document",
    "named",
    "with_literal",
]

# Any: JSON, right or wrong.
Document = dict[str, Any]
Path = tuple[str | int, ...]
Values = tuple[object, ...]

EXECUTE: Final = "/api/agent/execute"
# Stands for what `with_literal` writes.
MARK: Final = "<mark>"
VALIDATED: Final = "/api/agent/execute-validated"
OBJECT: Final[Values] = (1, "x", [], None, True, 1.5, [{}])
LIST: Final[Values] = (1, "x", {}, None, True, 0.5, {"0": []})
TEXT: Final[Values] = (1, None, True, [], {}, 1.5, ["x"], 10**30)
SWITCH: Final[Values] = (0, 1, "true", "", None, [], {}, 0.0, "false", "yes")
ID: Final[Values] = (
    1,
    True,
    [],
    {},
    "x",
    "",
    1.5,
    "0" * 31,
    "zzzzzzzz-zzzz-4zzz-8zzz-zzzzzzzzzzzz",
    ["x"],
    "null",
)
ROLE: Final[Values] = (1, "x", "User", " user", "tool", "", None, [], {}, True)
TEMPERATURE: Final[Values] = (-0.1, 1.1, -1, 2, 1e308, "0.5", True, [], {}, 10**30, -(2**63))
TOKENS: Final[Values] = (99, 4001, -1, 0, 1.5, 2**31, 2**63, 2**64, "100", True, [], {}, -(2**63), 1e300)


@dataclass(frozen=True)
class Door:
    """
    Attributes:
        good: a body that would be taken.
        wrong: by field, values that it cannot have.
        needed: the fields that must be there.
    """

    path: str
    headers: list[tuple[str, str]]
    good: Document
    wrong: Mapping[Path, Values]
    needed: tuple[Path, ...]

    def asked(self, body: bytes | Document, *, headers: list[tuple[str, str]] | None = None) -> bytes:
        return asked("POST", self.path, [*self.headers, *([JSON] if headers is None else headers)], body)


def door_of(dice: Random, given: Given) -> Door:
    return dice.choice([_execute, _execute, _validated, _conversation, _key, _forecast])(given)


def execute_document(given: Given) -> Document:
    return {
        "agentId": given.agent_id,
        "messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "yes"}],
        "stream": False,
        "input": {"a": 1},
        "conversationId": given.conversation_id,
        "metadata": {"a": "b"},
    }


def _execute(given: Given) -> Door:
    wrong: dict[Path, Values] = {
        ("agentId",): (*ID, None),
        ("messages",): LIST,
        ("messages", 1): (*OBJECT[:2], None, True, 1.5),
        ("messages", 0, "role"): ROLE,
        ("messages", 1, "content"): TEXT,
        ("stream",): SWITCH,
        ("input",): OBJECT,
        ("conversationId",): ID,
        ("metadata",): OBJECT,
    }
    needed: tuple[Path, ...] = (
        ("agentId",),
        ("messages",),
        ("messages", 0, "role"),
        ("messages", 0, "content"),
    )
    return Door(EXECUTE, [given.user], execute_document(given), wrong, needed)


def _forecast(given: Given) -> Door:
    series = [{"date": f"2026-01-{day:02}", "value": day} for day in range(1, 29)]
    good: Document = {
        "agentId": given.forecaster_id,
        "messages": [{"role": "user", "content": "next"}],
        "input": {"series": series, "horizon": 7, "level": 0.9},
    }
    wrong: dict[Path, Values] = {
        ("input", "horizon"): (0, -1, 731, 2**31, 2**63, 1.5, "7", True, [], {}),
        ("input", "level"): (0, 1, 0.49, 0.991, -1, 1e308, "0.9", True, [], {}),
        ("input", "series"): (1, "x", {}, None, True),
        ("input", "series", 3, "value"): ("1", True, [], {}),
        ("input", "series", 3, "date"): (1, "", "x", "2026-13-01", "2026-02-30", None, [], {}),
        ("input", "frequency"): (1, "hourly", "", [], {}),
    }
    return Door(EXECUTE, [given.user], good, wrong, (("input", "series"),))


def _validated(given: Given) -> Door:
    config: Document = {
        "name": "Sent",
        "system_prompt": "short",
        "temperature": 0.5,
        "max_tokens": 200,
        "knowledge_base": [{"title": "a", "content": "b"}],
    }
    good: Document = {
        "userId": given.user_id,
        "agentId": given.agent_id,
        "agentConfig": config,
        "messages": [{"role": "user", "content": "hello"}],
        "stream": False,
    }
    wrong: dict[Path, Values] = {
        ("userId",): (*ID, None),
        ("agentId",): (*ID, None),
        ("agentConfig",): OBJECT,
        ("agentConfig", "name"): (*TEXT, "", "x" * 201),
        ("agentConfig", "temperature"): TEMPERATURE,
        ("agentConfig", "max_tokens"): TOKENS,
        ("agentConfig", "knowledge_base"): (1, "x", {}, True),
        ("agentConfig", "knowledge_base", 0, "content"): TEXT,
        ("messages",): LIST,
        ("messages", 0, "role"): ROLE,
        ("stream",): SWITCH,
    }
    needed: tuple[Path, ...] = (("userId",), ("agentId",), ("agentConfig",), ("agentConfig", "name"))
    return Door(VALIDATED, [given.service[0]], good, wrong, needed)


def _conversation(given: Given) -> Door:
    good: Document = {"agentId": given.agent_id, "title": "A title"}
    wrong: dict[Path, Values] = {
        ("agentId",): ID,
        ("title",): (1, True, [], {}, 1.5, "x" * 201),
    }
    return Door("/api/conversations", [given.user], good, wrong, ())


def _key(given: Given) -> Door:
    wrong: dict[Path, Values] = {("name",): (*TEXT, "", " ", "\t\n", "x" * 101)}
    return Door("/api/keys", [given.user], {"name": "A key"}, wrong, (("name",),))


def changed(document: Document, path: Path, value: object, *, is_removed: bool = False) -> Document:
    """A copy with this value there."""
    whole = copy.deepcopy(document)
    # Any: somewhere inside a document.
    place: Any = whole
    for part in path[:-1]:
        place = place[part]
    if is_removed:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return whole


def named(path: Path) -> str:
    """As a refusal writes it: `messages[0].role`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def with_literal(document: Document, literal: bytes) -> bytes:
    """As JSON, with this text in the place of `MARK`, whatever it is."""
    return orjson.dumps(document).replace(orjson.dumps(MARK), literal)
