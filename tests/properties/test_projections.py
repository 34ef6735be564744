"""One log, several projections: stream, socket and pages tell the same from any number on, come what may."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Json
from heavy_agents.events import RESERVED, TERMINAL, Event, Page, decode, tidy
from routing.events import _document
from routing.sse import blocks
from routing.wire import MESSAGES, socket_message
from tests.properties.talk import Talk
from tests.properties.values import ANY_TEXT, SCALARS, VALUES, as_doubles

RUN = UUID("01a204b8-30f5-7518-88a6-b9cf00d00c07")

OWN = st.from_regex(r"[a-z_]{1,32}", fullmatch=True).filter(
    lambda name: name not in RESERVED and name not in MESSAGES
)
KNOWN = st.sampled_from(sorted(set(MESSAGES) - TERMINAL))
# Fields named like the envelope, like those of the table, and like nothing at all.
NAMES = st.sampled_from(["type", "seq", "runId", "id", "data", "event", "retry", "content", "step", "note"])
HUGE = st.sampled_from(["x" * 40_000, "\N{GRINNING FACE}" * 9_000, "\n\n" * 5_000, "id: 7\ndata: {}\n\n"])
FIELDS = st.dictionaries(NAMES | ANY_TEXT, SCALARS | SCALARS | VALUES | HUGE, max_size=3)


# Any: an event's fields, as an agent hands them over.
def _tidied(fields: dict[str, Any]) -> dict[str, Json]:
    tidied = tidy(fields)
    assert isinstance(tidied, dict)
    return tidied


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """The beginning that the database writes, then any events, and one that ends the run."""
    middle = draw(st.lists(st.tuples(KNOWN | OWN, FIELDS), max_size=5))
    end = (draw(st.sampled_from(sorted(TERMINAL))), draw(FIELDS))
    typed = [("started", {"agentId": None}), *middle, end]
    return [Event(seq, type_, _tidied(fields)) for seq, (type_, fields) in enumerate(typed, 1)]


def streamed(events: list[Event]) -> list[tuple[str, Any]]:
    """(id, message) of every event, as a browser reads it: a line ends at CR, LF or both."""
    text = b"".join(blocks(RUN, events)).decode()
    found = []
    for block in re.split(r"(?:\r\n|\r|\n){2}", text)[:-1]:
        fields = dict(line.split(": ", 1) for line in re.split(r"\r\n|\r|\n", block))
        assert fields.keys() == {"id", "data"}
        found.append((fields["id"], orjson.loads(fields["data"])))
    return found


def sent(events: list[Event]) -> list[Any]:
    return [orjson.loads(orjson.dumps(socket_message(RUN, event))) for event in events]


@given(logs(), st.data())
def test_a_stream_and_a_socket_from_any_number_are_the_tail_of_the_whole(
    log: list[Event], data: st.DataObject
) -> None:
    after = data.draw(st.integers(0, len(log)))
    numbers = list(range(after + 1, len(log) + 1))

    whole, tail = b"".join(blocks(RUN, log)), b"".join(blocks(RUN, log[after:]))

    assert whole == b"".join(blocks(RUN, log[:after])) + tail
    assert [id_ for id_, _ in streamed(log[after:])] == [str(number) for number in numbers]
    assert sent(log)[after:] == sent(log[after:])
    assert [message["seq"] for message in sent(log[after:])] == numbers


@given(logs())
def test_a_stream_and_a_socket_tell_the_same_under_names_that_cannot_be_confused(log: list[Event]) -> None:
    for event, (id_, on_stream), on_socket in zip(log, streamed(log), sent(log), strict=True):
        names = (on_stream.pop("type"), on_socket.pop("type"))
        assert on_stream == on_socket
        assert (on_stream["runId"], on_stream["seq"], id_) == (str(RUN), event.seq, str(event.seq))
        assert names == MESSAGES.get(event.type, (event.type, f"agent_{event.type}", ()))[:2]
        is_end = names[0] in {"done", "error"}
        assert is_end == event.is_terminal
        assert is_end == (names[1] in {"agent_execution_complete", "agent_execution_error"})


@given(logs(), st.data())
def test_pages_of_any_size_from_any_number_are_the_tail_of_the_whole(
    shared: Talk, log: list[Event], data: st.DataObject
) -> None:
    after, limit = data.draw(st.integers(0, len(log))), data.draw(st.integers(1, len(log) + 1))
    user, run_id = shared.do(_stored(shared, log))

    told: list[Any] = []
    is_over = after == len(log)
    while not is_over:
        page = shared.do(_page(shared, user, run_id, after=after + len(told), limit=limit))
        document = orjson.loads(orjson.dumps(_document(RUN, page)))
        told += document["events"]
        is_over = document["isTerminal"]
        assert document["latest"] == len(log)
        assert is_over == (after + len(told) == len(log))

    # What was stored is what was told live; the end is written by the database.
    live = [message for _, message in streamed(log[after:-1])]
    assert as_doubles(told[: len(live)]) == as_doubles(live)
    assert [message["seq"] for message in told] == list(range(after + 1, len(log) + 1))


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_every_reserved_name_would_be_taken_for_something_else(name: str) -> None:
    streams = {on_stream for on_stream, _, _ in MESSAGES.values()} | {"reconnect"}
    sockets = {on_socket for _, on_socket, _ in MESSAGES.values()} | {"agent_resumed", "agent_gap"}

    assert name in streams or f"agent_{name}" in sockets


def test_no_name_that_would_be_taken_for_something_else_is_free() -> None:
    streams = {on_stream for on_stream, _, _ in MESSAGES.values()} | {"reconnect"}
    sockets = {on_socket for _, on_socket, _ in MESSAGES.values()} | {"agent_resumed", "agent_gap"}

    taken = streams | {name.removeprefix("agent_") for name in sockets}

    assert taken - set(MESSAGES) == RESERVED


async def _stored(shared: Talk, log: list[Event]) -> tuple[UUID, UUID]:
    """A user and a run of theirs which has ended, with this log but for how the database words the end."""
    user = await shared.sql.user()
    claim = await shared.sql.running(user)
    await shared.sql.append(claim, [event.to_json() for event in log[1:-1]])
    await shared.sql.finish(claim, {"done": "succeeded"}.get(log[-1].type, log[-1].type))
    return user, UUID(claim["run_id"])


async def _page(shared: Talk, user: UUID, run_id: UUID, *, after: int, limit: int) -> Page:
    found = await shared.sql.read(user, run_id, after=after, limit=limit)
    return Page(decode(found["events"]), found["latest"], found["is_terminal"])
