"""What readers who were cut off were told, beside the log of the run; and where they were cut off.

Pure, but for what it is given to write to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from uuid import UUID

import orjson

from heavy_agents.events import Event
from routing.wire import event_message, socket_message
from tests.hardening.fault import Findings
from tests.support.cuts import How, When, is_in_letter
from tests.support.readers import Hit, Reader, Transport

__all__ = ["Places", "check_told"]

IN_LETTER, IN_MESSAGE = "in a letter", "in a message"


class Places:
    """How often connections were cut where, how, and over which transport."""

    def __init__(self) -> None:
        self.hits = 0
        self.counted = Counter[str]()

    def add(self, hits: Iterable[Hit]) -> None:
        for hit in hits:
            self.hits += 1
            self.counted.update(map(_name, (hit.cut.when, hit.cut.how, hit.transport)))
            self.counted[IN_LETTER] += is_in_letter(hit.pending)
            self.counted[IN_MESSAGE] += bool(hit.pending)

    @property
    def missing(self) -> list[str]:
        """Where nothing was cut yet."""
        every = [*map(_name, (*When, *How, *Transport)), IN_LETTER, IN_MESSAGE]
        return [name for name in every if not self.counted[name]]


def check_told(findings: Findings, reader: Reader, log: list[Event]) -> None:
    """All of the log, each event once and in order, one ending, and a text without doubles."""
    told = [_sorted(each) for _, each in reader.told]
    findings.expect(told == _expected(reader, log), "a reader was told something else than the log")
    ends = [event.is_terminal for event in log]
    findings.expect(ends == [False] * (len(log) - 1) + [True], "a log has no end, or not as its last event")
    end = orjson.loads(told[-1])
    if end["type"] in {"done", "agent_execution_complete"}:
        findings.expect(_shown(log) == end["response"], "what is shown is not the answer")


def _name(place: Enum) -> str:
    return place.name.lower()


def _expected(reader: Reader, log: list[Event]) -> list[bytes]:
    """The log as each transport names it."""
    transports = [transport for transport, _ in reader.told]
    if len(transports) != len(log):
        return []
    return [
        orjson.dumps(
            (socket_message if transport is Transport.SOCKET else event_message)(UUID(reader.run_id), event),
            option=orjson.OPT_SORT_KEYS,
        )
        for event, transport in zip(log, transports, strict=True)
    ]


def _sorted(told: bytes) -> bytes:
    """`jsonb` keeps the keys of an object in an order of its own."""
    return orjson.dumps(orjson.loads(told), option=orjson.OPT_SORT_KEYS)


def _shown(log: list[Event]) -> str:
    """The text of a person's screen: what a repeated step had said before is taken away."""
    shown: list[tuple[int, str, str]] = []
    for event in log:
        step = str(event.data.get("step"))
        if event.type == "retry":
            after = event.data["discardAfter"]
            assert isinstance(after, int)
            shown = [each for each in shown if each[1] != step or each[0] <= after]
        # The echo agent's other step says what is no answer.
        elif event.type == "chunk" and step != "tell":
            shown.append((event.seq, step, str(event.data["content"])))
    return "".join(content for _, _, content in shown)
