"""What every subject is asked and has to answer: the script of the agent loop.

Turn 1 says 44 words and calls `now`, whose arguments come in 5 pieces after the piece that names it; turn 2
says 50 words: 100 chunks that carry one token each. Both turns have a first chunk that names the role, one
that says why the turn ended, and one with the usage, as the provider sends them. Needs no library, because
peers read it in environments of their own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from tests.support.model import Rule

__all__ = ["ANSWER", "MODEL", "PREAMBLE", "QUESTION", "SYSTEM", "TOOL", "now", "rules"]

MODEL = "scripted"
SYSTEM = "You tell people what time it is."
QUESTION = "What time is it in Berlin?"
PREAMBLE = " ".join(["I", "look", "at", "the"] * 11)
ANSWER = " ".join(["It", "is", "late", "in", "Berlin"] * 10)

# As Switchyard's tool of this name is described to a model.
TOOL = {
    "type": "function",
    "function": {
        "name": "now",
        "description": "Tell the current date, time and weekday.",
        "parameters": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "timezone": {
                    "type": "string",
                    "default": "UTC",
                    "description": "an IANA name such as Europe/Berlin or America/New_York",
                }
            },
        },
    },
}


def rules(*, between_s: float) -> list[Rule]:
    """For the scripted model server; `between_s` seconds pass between two chunks."""
    call = {"timezone": "Europe/Berlin"}
    return [
        {
            "when": {"tool_results": 0},
            "reply": {
                "text": PREAMBLE,
                "tool_calls": [{"name": "now", "arguments": call}],
                "between_s": between_s,
            },
        },
        {"when": {"tool_results": 1}, "reply": {"text": ANSWER, "between_s": between_s}},
    ]


def now(timezone: str = "UTC") -> dict[str, str | int]:
    """Tell the current date, time and weekday.

    Args:
        timezone: an IANA name such as Europe/Berlin or America/New_York
    """
    there = datetime.now(UTC).astimezone(ZoneInfo(timezone))
    return {
        "iso": there.isoformat(timespec="seconds"),
        "weekday": there.strftime("%A"),
        "unix": int(there.timestamp()),
        "timezone": timezone,
    }
