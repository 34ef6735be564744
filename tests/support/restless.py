"""Runs that say everything a run may say, drawn at random, for an echo agent; and what a model says."""

from __future__ import annotations

import random

from foundation.errors import Json
from tests.support.model import Reply

__all__ = ["CHAT_REPLY", "input_of"]

LETTERS = 'aé€😀\u200d\u2028"\\\n\r\t\x7f中ß '
CHAT_REPLY: Reply = {"text": "Ünïcödé 😀 words, one after the other. " * 6, "between_s": 0.04}


def input_of(dice: random.Random) -> dict[str, Json]:
    """What the echo agent is to do: events of every type and of its own, and any end."""
    events: list[Json] = [_event(dice) for _ in range(dice.randint(3, 40))]
    told: dict[str, Json] = {
        "chunks": [_text(dice) for _ in range(dice.randint(0, 4))],
        "events": events,
        "files": {f"{_text(dice, most=5)}.txt": _text(dice)} if dice.random() < 0.3 else {},
    }
    ends: list[dict[str, Json]] = [{"fail": _text(dice)}, {"bug": True}, {"burn": True}, {}, {}, {}]
    return told | dice.choice(ends)


def _event(dice: random.Random) -> Json:
    type_, fields = dice.choice([_chunk, _tool, _result, _progress, _own])(dice)
    return {"type": type_, "fields": fields, "pause_ms": dice.choice([0, 0, 0, 1, 5, 20])}


Told = tuple[str, dict[str, Json]]


def _chunk(dice: random.Random) -> Told:
    return "chunk", {"content": _text(dice, most=dice.choice([3, 60, 60, 3_000]))}


def _tool(dice: random.Random) -> Told:
    return "tool_call", {"name": "look", "arguments": {"zebra": _text(dice), "a": [1, 2.5, None, True]}}


def _result(dice: random.Random) -> Told:
    return "tool_result", {"name": "look", "ok": dice.random() < 0.5, "result": {"text": _text(dice)}}


def _progress(dice: random.Random) -> Told:
    return "progress", {"fraction": round(dice.random(), 4), "note": _text(dice)}


def _own(dice: random.Random) -> Told:
    """A kind's own event, with fields named like the envelope."""
    return "weather", {"type": "done", "seq": 0, "runId": "x", "id": _text(dice), "data": ": ping\n\nid: 9"}


def _text(dice: random.Random, *, most: int = 40) -> str:
    return "".join(dice.choices(LETTERS, k=dice.randint(1, most)))
