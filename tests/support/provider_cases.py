"""Every way a model provider is known to fail, and what must come of it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast

from tests.support.model import Fault, Reply, Rule

__all__ = [
    "FAULTY_ENDINGS",
    "GROUPS",
    "HASTY",
    "KINDS",
    "PRICE",
    "SECRETS",
    "TEXT",
    "Case",
    "down",
    "drawn",
]

# So long that the last hundredth of the stream is inside its usage, after the reason why it stopped.
TEXT = " ".join(f"word{number}" for number in range(30))
# A credit a token, so that every token shows.
PRICE: dict[str, Any] = {"flat": 1, "per_1k_tokens": 1000, "ceiling": 900}
SECRETS = ("a secret of the provider", "canary", "the-key-of-the-scripted-model")
# As short as a loaded machine can still keep; some faults end by them only.
HASTY = {
    "MODEL_FIRST_TOKEN_SECONDS": "9",
    "MODEL_SILENCE_SECONDS": "4",
    "MODEL_TURN_SECONDS": "10",
}
FAULTY_ENDINGS = frozenset({"complete", "cut", "left"})
MOST_CALLS = 3


@dataclass(frozen=True)
class Case:
    """One fault, and what must come of it.

    Attributes:
        code: of the failed run; None when it succeeds.
        calls: the least and the most requests the provider may get.
        times: how often the fault happens; 0 for always.
        is_estimated: the provider does not say what the answer has cost.
        is_shown: a part of the text came before the fault, so the client has it.
        is_slow: only a deadline ends it.
    """

    name: str
    reply: Reply
    code: str | None = "model_unavailable"
    calls: tuple[int, int] = (1, MOST_CALLS)
    times: int = 0
    is_estimated: bool = False
    is_shown: bool = False
    is_slow: bool = False

    @property
    def most_retries(self) -> int:
        return self.calls[1] - 1

    def rules(self, model: str) -> list[Rule]:
        """For the model of this name, by which the scripted one knows the case."""
        faulty: Rule = {"when": {"model": model}, "reply": self.reply}
        if not self.times:
            return [faulty]
        return [{**faulty, "times": self.times}, {"when": {"model": model}, "reply": {"text": TEXT}}]


# Any: here and below, the members of a `Fault`.
def fault(**members: Any) -> Reply:
    return Reply(text=TEXT, fault=cast("Fault", members))


def refusal(status: int, *, headers: dict[str, str] | None = None, **error: Any) -> Reply:
    return fault(kind="status", status=status, headers=headers or {}, error=error)


def cut(kind: str, after: float, **members: Any) -> Reply:
    return fault(kind=kind, after=after, **members)


def retry_at(after_s: float) -> dict[str, str]:
    return {"retry-after": format_datetime(datetime.now(UTC) + timedelta(seconds=after_s), usegmt=True)}


THRICE = (MOST_CALLS, MOST_CALLS)
ONCE = (1, 1)
TWICE = (2, 2)
# The faults after which the connection stays open.
WAITING = frozenset({"silence", "drip"})
# Of each group, whatever is drawn: one of a group may be too mild to show that a guard is gone.
SURE = 2

GROUPS: dict[str, list[Case]] = {
    "too many requests": [
        Case("429", refusal(429), calls=THRICE),
        Case("429 in seconds", refusal(429, headers={"retry-after": "1"}), calls=(2, 3)),
        Case("429 in ms", refusal(429, headers={"retry-after-ms": "20"}), calls=THRICE),
        Case("429 at a date", refusal(429, headers=retry_at(2)), calls=(1, 3)),
        Case("429 in an hour", refusal(429, headers={"retry-after": "3600"}), calls=ONCE),
        Case("429 out of money", refusal(429, code="insufficient_quota"), calls=ONCE),
    ],
    "statuses of a failing provider": [
        Case("500", refusal(500), calls=THRICE),
        Case("502", fault(kind="status", status=502, text="<html>canary-502</html>"), calls=THRICE),
        Case("503", refusal(503), calls=THRICE),
        Case("hang", fault(kind="hang"), is_slow=True),
        Case("silence before the first token", cut("silence", 0), is_slow=True),
    ],
    "statuses of a wrong question": [
        Case("400", refusal(400), "agent_error", ONCE),
        Case("400 too long", refusal(400, code="context_length_exceeded"), "agent_error", ONCE),
        Case("400 filtered", refusal(400, code="content_filter"), "agent_error", ONCE),
        Case("413", refusal(413), "agent_error", ONCE),
        Case("422", refusal(422), "agent_error", ONCE),
        Case("404", refusal(404, code="model_not_found"), "agent_error", ONCE),
        Case("401", refusal(401, code="invalid_api_key"), calls=ONCE),
        Case("402", refusal(402), calls=ONCE),
        Case("403", refusal(403), calls=ONCE),
        Case(
            "400 no stream options",
            refusal(400, code="unsupported_parameter", param="stream_options"),
            None,
            TWICE,
            times=1,
            is_estimated=True,
        ),
    ],
    "cut before the first token": [
        Case("reset 0", cut("reset", 0)),
        Case("close 0", cut("close", 0), calls=THRICE),
        Case("end 0", cut("end", 0), calls=THRICE),
        Case("close 1 %", cut("close", 0.01), calls=THRICE),
        Case("end 1 %", cut("end", 0.01), calls=THRICE),
    ],
    "nonsense before the first token": [
        Case("garbage 0", cut("garbage", 0), calls=THRICE),
        Case("error 0", cut("error", 0), calls=THRICE),
        Case("10 MB line", cut("long_line", 0, size_bytes=10_000_000), calls=THRICE),
        Case("web page", fault(kind="content_type"), calls=THRICE),
        Case("1 byte/s", cut("drip", 0, every_s=1.0), is_slow=True),
    ],
    "cut in the text": [
        Case("reset 50 %", cut("reset", 0.5)),
        *(
            Case(f"{kind} 50 %", cut(kind, 0.5), calls=ONCE, is_shown=True, is_slow=kind in WAITING)
            for kind in ("close", "end", "silence", "garbage", "error", "drip", "long_line")
        ),
        Case("1 word/s", Reply(text=TEXT, between_s=1.0), calls=ONCE, is_shown=True, is_slow=True),
    ],
    "whole, but oddly ended": [
        *(
            Case(f"{kind} 99 %", cut(kind, 0.99), None, ONCE, is_estimated=True, is_slow=kind in WAITING)
            for kind in ("close", "end", "silence", "garbage", "error")
        ),
        Case("no [DONE]", cut("no_done", 0), None, ONCE),
        Case("no usage", Reply(text=TEXT, usage="missing"), None, ONCE, is_estimated=True),
        Case("absurd usage", Reply(text=TEXT, usage="absurd"), None, ONCE, is_estimated=True),
        Case("negative usage", Reply(text=TEXT, usage="negative"), None, ONCE, is_estimated=True),
    ],
    "passing troubles": [
        Case("429 once", refusal(429, headers={"retry-after-ms": "20"}), None, TWICE, times=1),
        Case("503 once", refusal(503), None, TWICE, times=1),
        Case("hang once", fault(kind="hang"), None, TWICE, times=1, is_slow=True),
        Case("silence once", cut("silence", 0), None, TWICE, times=1, is_slow=True),
        Case("reset once", cut("reset", 0), None, TWICE, times=1),
        Case("close once", cut("close", 0.01), None, TWICE, times=1),
        Case("garbage once", cut("garbage", 0), None, TWICE, times=1),
        Case("error once", cut("error", 0), None, TWICE, times=1),
        Case("web page once", fault(kind="content_type"), None, TWICE, times=1),
    ],
}


KINDS = sum(map(len, GROUPS.values()))


def drawn(dice: random.Random, n: int) -> list[Case]:
    """`n` kinds: some of each group first, then the others, then all of them again."""
    groups = [dice.sample(group, len(group)) for group in GROUPS.values()]
    sure = [case for group in groups for case in group[:SURE]]
    others = [case for group in groups for case in group[SURE:]]
    cases = [*sure, *dice.sample(others, len(others))]
    while len(cases) < n:
        cases += cases[:KINDS]
    return cases[:n]


def down(count: int) -> list[Case]:
    """A provider that is down for all of them: together they may spend what a process has of retries."""
    return [Case(f"down {number}", refusal(503, headers={"retry-after-ms": "20"})) for number in range(count)]
