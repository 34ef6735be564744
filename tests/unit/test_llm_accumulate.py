from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.outbound import Lines
from heavy_agents.llm import Tokens, ToolCall, Turn
from heavy_agents.llm.accumulate import MAX_ANSWER_BYTES, MAX_REASONING_BYTES, Accumulator
from heavy_agents.llm.errors import Broken

# Any: chunks as providers send them.
Chunk = dict[str, Any]

TEXTS = st.text(max_size=8)
PIECES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.one_of(st.none(), st.integers(0, 2)),
        "id": st.sampled_from([None, "", "a", "b"]),
        "function": st.fixed_dictionaries(
            {}, optional={"name": TEXTS, "arguments": st.one_of(st.none(), TEXTS)}
        ),
    },
)
DELTAS = st.one_of(
    st.fixed_dictionaries({"content": st.one_of(st.none(), TEXTS)}),
    st.fixed_dictionaries({"refusal": TEXTS}),
    st.fixed_dictionaries({"reasoning_content": TEXTS}),
    st.fixed_dictionaries({"tool_calls": st.lists(PIECES, max_size=2)}),
)
CHUNKS = st.one_of(
    DELTAS.map(lambda delta: {"choices": [{"index": 0, "delta": delta}]}),
    st.sampled_from(["stop", "length"]).map(
        lambda why: {"choices": [{"index": 0, "delta": {}, "finish_reason": why}]}
    ),
    st.integers(-1, 9).map(lambda n: {"choices": [], "usage": {"prompt_tokens": n, "completion_tokens": n}}),
    st.sampled_from([{"error": {"message": "x"}}, {"choices": 3}, {}]),
)


def delta(**members: object) -> Chunk:
    return {"choices": [{"index": 0, "delta": members, "finish_reason": None}]}


def finish(why: str = "stop") -> Chunk:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": why}]}


def usage(spent: object, got: object) -> Chunk:
    return {"choices": [], "usage": {"prompt_tokens": spent, "completion_tokens": got}}


def take(*chunks: object) -> Accumulator:
    answer = Accumulator("id")
    for chunk in chunks:
        answer.take(chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode())
    return answer


def turn(*chunks: object) -> Turn:
    return take(*chunks).turn(model="m", input_estimate=100)


def calls(*pieces: Chunk) -> tuple[ToolCall, ...]:
    return turn(*(delta(tool_calls=[piece]) for piece in pieces)).tool_calls


def read(*parts: bytes) -> tuple[Turn, bool, str, bool]:
    """What a stream comes to: the turn, whether it is complete, its text as told, whether it broke."""
    lines, answer, told, is_broken = Lines(), Accumulator("id"), "", False
    try:
        for part in parts:
            for event in lines.feed(part):
                answer.take(event)
                told += answer.fresh()
    except Broken:
        is_broken = True
    return answer.turn(model="m", input_estimate=7), answer.is_complete, told, is_broken


@given(
    st.lists(CHUNKS, max_size=12),
    st.lists(st.integers(0, 2_000), max_size=12),
    st.sampled_from(["\n", "\r\n"]),
)
def test_an_answer_does_not_depend_on_how_its_bytes_are_split(
    chunks: list[Chunk], places: list[int], end: str
) -> None:
    text = "".join(f"data: {json.dumps(chunk, ensure_ascii=False)}{end}{end}" for chunk in chunks)
    whole = text.encode(errors="replace")
    cuts = sorted({0, len(whole), *(min(place, len(whole)) for place in places)})

    split = read(*(whole[start:stop] for start, stop in pairwise(cuts)))

    assert split == read(whole)
    assert split[2] == split[0].text


@given(st.lists(CHUNKS, max_size=12))
def test_a_turn_is_journaled_and_read_back_as_it_was(chunks: list[Chunk]) -> None:
    answer = Accumulator("id")
    for chunk in chunks:
        try:
            answer.take(json.dumps(chunk).encode())
        except Broken:
            break
    made = answer.turn(model="m", input_estimate=3)

    assert Turn.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_texts_add_up_and_are_fresh_once() -> None:
    answer = take(delta(role="assistant", content=""), delta(content="Hel"), delta(content="lo"))

    assert answer.fresh() == "Hello"
    assert answer.fresh() == ""
    answer.take(json.dumps(delta(content="!")).encode())
    assert answer.fresh() == "!"
    assert answer.turn(model="m", input_estimate=1).text == "Hello!"


def test_content_may_be_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]

    assert turn(delta(content=parts)).text == "ab"


@pytest.mark.parametrize("member", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_beside_the_text(member: str) -> None:
    made = turn(delta(**{member: "hm"}), delta(content="a"))

    assert (made.reasoning, made.text) == ("hm", "a")


def test_reasoning_is_kept_to_its_limit_and_counted_beyond() -> None:
    long = [delta(reasoning="ü" * 10_000)] * 5
    made = turn(*long)

    assert len(made.reasoning.encode()) == MAX_REASONING_BYTES
    assert made.tokens == Tokens(100, -(-100_000 // 3), is_estimated=True)


def test_a_refusal_is_no_text() -> None:
    made = turn(delta(refusal="I "), delta(refusal="will not"), finish())

    assert (made.refusal, made.text) == ("I will not", "")
    assert turn(delta(refusal=None)).refusal is None


def test_tool_calls_come_in_pieces_and_in_parallel() -> None:
    assert calls(
        {"index": 0, "id": "a", "function": {"name": "wea", "arguments": ""}},
        {"index": 1, "id": "b", "function": {"name": "time"}},
        {"index": 0, "function": {"name": "ther", "arguments": None}},
        {"index": 1, "function": {"arguments": '{"z'}},
        {"index": 0, "function": {"arguments": "{}"}},
        {"index": 1, "function": {"arguments": '":1}'}},
    ) == (ToolCall("a", "weather", "{}"), ToolCall("b", "time", '{"z":1}'))


def test_broken_arguments_are_kept_as_they_are() -> None:
    assert (
        calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x": '}})[0].arguments
        == '{"x": '
    )


def test_arguments_that_are_an_object_become_its_text() -> None:
    assert (
        calls({"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}})[0].arguments
        == '{"x":1}'
    )


def test_without_an_index_the_id_and_then_the_order_tells() -> None:
    made = calls(
        {"id": "a", "function": {"name": "f", "arguments": "{"}},
        {"function": {"arguments": "}"}},
        {"id": "b", "function": {"name": "g", "arguments": "["}},
        {"id": "a", "function": {"arguments": " "}},
        {"function": {"name": "h", "arguments": "1"}},
    )

    assert [(call.id, call.name, call.arguments) for call in made[:2]] == [("a", "f", "{} "), ("b", "g", "[")]
    assert (made[2].name, made[2].arguments) == ("h", "1")


def test_a_missing_id_is_made_from_the_calls_own_and_stays_the_same() -> None:
    pieces = [{"index": n, "function": {"name": "f", "arguments": "{}"}} for n in range(2)]

    assert [call.id for call in calls(*pieces)] == ["call_id_0", "call_id_1"]
    assert calls(*pieces) == calls(*pieces)


def test_calls_that_all_have_the_index_0_are_told_apart_by_their_ids() -> None:
    made = calls(
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "1"}},
        {"index": 0, "id": "b", "function": {"name": "f", "arguments": "2"}},
    )

    assert [(call.id, call.arguments) for call in made] == [("a", "1"), ("b", "2")]


def test_a_name_repeated_with_each_piece_is_one_name() -> None:
    made = calls(*({"index": 0, "id": "a", "function": {"name": "f", "arguments": "1"}} for _ in range(3)))

    assert made == (ToolCall("a", "f", "111"),)


def test_only_the_first_choice_counts() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "stop"}]}
    answer = take(other, delta(content="yes"))

    assert answer.turn(model="m", input_estimate=1).text == "yes"
    assert not answer.is_complete


def test_an_answer_is_complete_with_a_reason_or_with_done_after_something() -> None:
    assert take(finish()).is_complete
    assert take(delta(content="a"), b"[DONE]").is_complete
    assert take(delta(tool_calls=[{"index": 0}]), b" [DONE] ").is_complete
    assert not take(delta(content="a")).is_complete
    assert not take(b"[DONE]").is_complete
    assert not take(delta(content="", role="assistant"), b"[DONE]").is_complete


def test_the_reason_is_told_or_follows_from_the_answer() -> None:
    assert turn(delta(content="a"), finish("length")).finish == "length"
    assert turn(delta(content="a"), b"[DONE]").finish == "stop"
    assert turn(delta(tool_calls=[{"index": 0}]), b"[DONE]").finish == "tool_calls"


def test_the_last_usage_counts_and_null_is_none() -> None:
    answer = turn(usage(5, 1), {**delta(content="a"), "usage": None}, usage(6, 2), {"usage": None})

    assert answer.tokens == Tokens(6, 2, is_estimated=False)


@pytest.mark.parametrize(
    "told",
    [
        None,
        usage(-1, 2),
        usage(2, -1),
        usage(10**12, 1),
        usage(1.5, 1),
        usage(True, 1),
        usage("1", 1),
        usage(0, 5),
    ],
)
def test_usage_that_cannot_be_true_is_estimated(told: Chunk | None) -> None:
    made = turn(delta(content="abcd"), *([] if told is None else [told]), finish())

    assert made.tokens == Tokens(100, 2, is_estimated=True)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"{no",
        b"[]",
        b"3",
        b"\xff\xfe",
        b"[" * 100_000,
        {"error": {"message": "secret"}},
        {"choices": 3},
        {"choices": [3]},
        {"choices": [{"delta": 3}]},
        {"choices": [{"delta": {}, "finish_reason": "error"}]},
        delta(content=3),
        delta(tool_calls=3),
        delta(tool_calls=[3]),
        delta(tool_calls=[{"index": 0, "function": 3}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": 3}}]),
    ],
)
def test_nonsense_breaks_the_answer_and_is_not_repeated(nonsense: object) -> None:
    with pytest.raises(Broken) as broken:
        take(nonsense)

    assert "secret" not in str(broken.value)
    assert broken.value.__suppress_context__ or broken.value.__context__ is None


def test_what_is_unknown_is_let_pass() -> None:
    made = turn({"object": "ping"}, {"choices": None}, {"choices": [{"index": 0}]}, delta(audio={}), finish())

    assert (made.text, made.finish) == ("", "stop")


def test_half_a_character_is_replaced() -> None:
    assert turn(b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}').text == "a\N{REPLACEMENT CHARACTER}"


def test_nul_is_replaced_because_it_cannot_be_stored() -> None:
    assert turn(delta(content="a\0b")).text == "a\N{REPLACEMENT CHARACTER}b"


def test_an_answer_above_the_size_limit_ends_as_one_that_reached_its_own() -> None:
    answer = Accumulator("id")
    half = json.dumps(delta(content="x" * (MAX_ANSWER_BYTES // 2))).encode()
    for _ in range(3):
        answer.take(half)

    assert answer.is_done
    assert answer.turn(model="m", input_estimate=1).finish == "length"


def test_calls_above_what_anybody_makes_are_left_out() -> None:
    pieces = [{"index": number, "id": str(number), "function": {"name": "now"}} for number in range(200)]

    assert [call.id for call in turn(delta(tool_calls=pieces)).tool_calls] == [str(n) for n in range(128)]


def test_an_id_that_comes_twice_is_made_another() -> None:
    pieces = [{"index": number, "id": "same", "function": {"name": "now"}} for number in range(2)]

    first, second = turn(delta(tool_calls=pieces)).tool_calls

    assert (first.id, second.id != "same") == ("same", True)
