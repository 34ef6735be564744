"""The words of the wire: which fields each event has, and that a replay is the tail of the whole."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Json
from heavy_agents.events import Event
from routing.sse import PING, blocks, goodbye
from routing.wire import (
    MESSAGES,
    accepted_document,
    event_message,
    receipt_document,
    run_document,
    socket_message,
)

RUN = UUID("01a204b8-30f5-7518-88a6-b9cf00d00c07")
URL = f"/api/runs/{RUN}"

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
DATA = st.dictionaries(st.sampled_from(["content", "step", "note", "type", "seq"]), TEXTS, max_size=3)
TYPES = st.sampled_from([name for name in MESSAGES if name not in {"done", "failed", "cancelled"}])


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """A run's log: numbered from 1, one terminal event, the last."""
    middle = draw(st.lists(st.tuples(TYPES, DATA), max_size=12))
    end = draw(st.sampled_from(["done", "failed", "cancelled"]))
    typed: list[tuple[str, dict[str, Any]]] = [("started", {}), *middle, (end, {})]
    return [Event(seq, type_, dict(data)) for seq, (type_, data) in enumerate(typed, 1)]


def stream(events: list[Event]) -> bytes:
    return b"".join(blocks(RUN, events))


@given(logs(), st.data())
def test_a_replay_from_any_number_is_the_tail_of_the_whole(log: list[Event], data: st.DataObject) -> None:
    after = data.draw(st.integers(0, len(log)))
    tail = stream(log[after:])

    assert stream(log).endswith(tail)
    assert stream(log) == stream(log[:after]) + tail


@given(logs())
def test_a_stream_and_a_socket_tell_the_same_under_their_own_names(log: list[Event]) -> None:
    for event in log:
        streamed, sent = event_message(RUN, event), socket_message(RUN, event)

        assert (streamed.pop("type"), sent.pop("type")) == MESSAGES[event.type][:2]
        assert streamed == sent
        assert (sent["runId"], sent["seq"]) == (str(RUN), event.seq)


def test_every_name_on_a_socket_says_that_an_agent_speaks() -> None:
    names = [on_socket for _, on_socket, _ in MESSAGES.values()]

    assert all(name.startswith("agent_") for name in names)
    assert socket_message(RUN, Event(3, "weather", {"sun": True, "seq": 9})) == {
        "type": "agent_weather",
        "runId": str(RUN),
        "seq": 3,
        "sun": True,
    }


def test_an_accepted_run_says_where_it_goes_on() -> None:
    assert accepted_document({"run_id": str(RUN), "status": "queued"}) == {
        "runId": str(RUN),
        "status": "queued",
        "eventsUrl": f"{URL}/events",
        "wsUrl": "/ws",
    }


@given(logs())
def test_every_event_is_one_line_with_its_own_number(log: list[Event]) -> None:
    frames = stream(log).split(b"\n\n")[:-1]

    assert len(frames) == len(log)
    for event, frame in zip(log, frames, strict=True):
        number, line = frame.split(b"\n")
        assert number == b"id: %d" % event.seq
        message = orjson.loads(line.removeprefix(b"data: "))
        assert message["seq"] == event.seq
        assert message["runId"] == str(RUN)
        assert message["type"] == MESSAGES[event.type][0]


@pytest.mark.parametrize(
    ("type_", "data", "message"),
    [
        ("started", {"agentId": "a"}, {"type": "started", "agentId": "a"}),
        ("chunk", {"content": "x", "step": "s", "n": 1}, {"type": "chunk", "content": "x", "step": "s"}),
        ("progress", {"fraction": 0.5, "note": "n"}, {"type": "progress", "fraction": 0.5, "note": "n"}),
        (
            "failed",
            {"error": "e", "code": "c", "response": None, "creditsUsed": 2, "executionTime": 5},
            {"type": "error", "error": "e", "code": "c", "response": None, "creditsUsed": 2},
        ),
        (
            "cancelled",
            {"error": "e", "code": "cancelled", "response": "p", "creditsUsed": 0},
            {"type": "error", "error": "e", "code": "cancelled", "response": "p", "creditsUsed": 0},
        ),
        (
            "done",
            {"response": "r", "executionTime": 1, "creditsUsed": 1, "usage": {}, "output": [1]},
            {
                "type": "done",
                "response": "r",
                "executionTime": 1,
                "creditsUsed": 1,
                "usage": {},
                "output": [1],
            },
        ),
        ("weather", {"type": "forged", "sun": True}, {"type": "weather", "sun": True}),
    ],
)
def test_each_event_has_the_fields_of_the_table(
    type_: str, data: dict[str, Json], message: dict[str, Json]
) -> None:
    assert event_message(RUN, Event(7, type_, data)) == {**message, "runId": str(RUN), "seq": 7}


def test_what_is_no_event_does_not_move_the_readers_place() -> None:
    assert b"id:" not in PING + goodbye(RUN)
    assert goodbye(RUN).startswith(b"event: reconnect\ndata: {")


def test_a_long_log_is_written_in_blocks() -> None:
    log = [Event(seq, "chunk", {"content": "x" * 30_000}) for seq in range(1, 21)]

    sizes = [len(block) for block in blocks(RUN, log)]

    assert len(sizes) > 5
    assert max(sizes) < 100_000


def run_row(**changes: Json) -> dict[str, Any]:
    row = {"run_id": str(RUN), "created_ms": 0, "started_ms": 1_500, "ended_ms": 2_750, "hold_credits": 3}
    return {**row, "metadata": {"my_key": 1}, "output": {"their_key": 2}, **changes}


def test_a_runs_times_are_text_and_its_duration_milliseconds() -> None:
    document = run_document(run_row())

    assert document["createdAt"] == "1970-01-01T00:00:00.000Z"
    assert document["startedAt"] == "1970-01-01T00:00:01.500Z"
    assert document["executionTime"] == 1_250
    assert document["eventsUrl"] == f"{URL}/events"


def test_what_belongs_to_the_caller_or_the_agent_is_not_renamed() -> None:
    document = run_document(run_row())

    assert (document["metadata"], document["output"]) == ({"my_key": 1}, {"their_key": 2})
    assert document["holdCredits"] == 3


@pytest.mark.parametrize(
    ("started_ms", "ended_ms", "execution_ms"), [(None, None, None), (5, None, None), (None, 9, 0)]
)
def test_a_run_that_was_not_executed_took_no_time(
    started_ms: int | None, ended_ms: int | None, execution_ms: int | None
) -> None:
    document = run_document(run_row(started_ms=started_ms, ended_ms=ended_ms))

    assert document["executionTime"] == execution_ms


def test_a_files_address_holds_any_name() -> None:
    artifact: Json = {"name": "a/b ü.csv", "media_type": "text/csv", "size_bytes": 5}

    document = run_document(run_row(artifacts=[artifact]))

    assert document["artifacts"] == [
        {
            "name": "a/b ü.csv",
            "mediaType": "text/csv",
            "size": 5,
            "url": f"{URL}/artifacts/a%2Fb%20%C3%BC.csv",
        }
    ]


def test_a_receipt_says_when_and_how_long() -> None:
    receipt = {
        "run_id": str(RUN),
        "price": {"per_1k_tokens": 2},
        "entries": [{"kind": "hold", "credits": 0, "at_ms": 0}],
        "steps": [{"name": "s", "duration_ms": 7, "finished_ms": 1_000}],
    }

    document = receipt_document(receipt)

    assert document["price"] == {"per1kTokens": 2}
    assert document["entries"] == [{"kind": "hold", "credits": 0, "at": "1970-01-01T00:00:00.000Z"}]
    assert document["steps"] == [{"name": "s", "durationMs": 7, "finishedAt": "1970-01-01T00:00:01.000Z"}]
