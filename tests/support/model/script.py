"""What the scripted model answers: rules as plain data, so that they can be sent to another process.

    {"when": {"role": "user", "contains": "weather"}, "reply": {"tool_calls": [{"name": "weather"}]}}
    {"when": {"tool_results": 1}, "reply": {"text": "It rains."}}
    {"times": 2, "reply": {"fault": {"kind": "status", "status": 503}}}

The first rule that fits answers; a rule with `times` fits that many calls only. Without a fitting rule the
answer is `DEFAULT`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict

__all__ = ["DEFAULT", "Body", "Call", "Fault", "Reply", "Rule", "Script", "When"]

# Any: the body of a request, as JSON.
Body = dict[str, Any]


class When(TypedDict, total=False):
    """All that are given must hold."""

    role: str  # of the last message
    contains: str  # in the last message
    tool_results: int  # messages of tools in the conversation
    model: str
    nth: int  # call under this script, from 1


class Call(TypedDict):
    """`arguments` that are a text are sent as they are, so they may be broken."""

    name: str
    arguments: NotRequired[dict[str, Any] | str]
    id: NotRequired[str]


class Fault(TypedDict, total=False):
    """What goes wrong.

    status: with `status`, `headers`, `error` (its document) or `text` (a body that is none)
    hang: no head of an answer, until the client leaves
    reset, close, end, silence: after the part `after` of the stream's bytes the connection is reset; is
        closed without an end of the body; the body ends; nothing comes any more
    garbage, error, long_line: after the same part, a chunk that is no JSON, an error object, a line of
        `size_bytes`
    drip: one byte every `every_s`, after the same part
    no_done: the stream ends without [DONE]
    content_type: the answer is a web page
    """

    kind: Literal[
        "status",
        "hang",
        "reset",
        "close",
        "end",
        "silence",
        "garbage",
        "error",
        "long_line",
        "drip",
        "no_done",
        "content_type",
    ]
    after: float
    status: int
    headers: dict[str, str]
    error: dict[str, Any]
    text: str
    size_bytes: int
    every_s: float


class Reply(TypedDict, total=False):
    """
    text: sent in chunks of `chunk_tokens` words
    echo: the members of the request that are the text instead, as JSON
    usage: "exact" (default), "missing", "absurd", "negative", or the document to send
    before_head_s, before_first_s, between_s: how long to wait, where
    """

    text: str
    echo: list[str]
    chunk_tokens: int
    tool_calls: list[Call]
    refusal: str
    reasoning: str
    finish: str
    usage: str | dict[str, Any]
    before_head_s: float
    before_first_s: float
    between_s: float
    fault: Fault


class Rule(TypedDict, total=False):
    when: When
    times: int
    reply: Reply


DEFAULT: Reply = {"text": "This is the answer of the scripted model."}


class Script:
    """Chooses replies, and counts how often each rule has."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = list(rules)
        self._used = [0] * len(self._rules)
        self._calls = 0

    def choose(self, body: Body) -> Reply:
        self._calls += 1
        for number, rule in enumerate(self._rules):
            is_left = self._used[number] < rule.get("times", self._used[number] + 1)
            if is_left and _fits(rule.get("when", {}), body, nth=self._calls):
                self._used[number] += 1
                return rule.get("reply", DEFAULT)
        return DEFAULT


def _fits(when: When, body: Body, *, nth: int) -> bool:
    messages = body.get("messages") or [{}]
    last = messages[-1]
    found = {
        "role": last.get("role"),
        "tool_results": sum(message.get("role") == "tool" for message in messages),
        "model": body.get("model"),
        "nth": nth,
    }
    if when.get("contains", "") not in _text(last.get("content")):
        return False
    return all(found[name] == wanted for name, wanted in when.items() if name != "contains")


def _text(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content)
