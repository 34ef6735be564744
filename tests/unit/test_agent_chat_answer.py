"""What becomes of a model's last turn."""

from __future__ import annotations

import pytest

from foundation.errors import Json
from heavy_agents.agents.chat_answer import judged
from heavy_agents.agents.chat_plan import Plan, read_plan
from heavy_agents.llm import Tokens, ToolCall, Turn
from heavy_agents.runs import AgentFailed, AgentSnapshot, Answer

SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}


def plan(**config: Json) -> Plan:
    row = {"id": None, "name": "Test", "kind": "chat", "config": config}
    return read_plan(AgentSnapshot.from_json(row), default_model="m")


def turn(
    text: str = "", *, refusal: str | None = None, finish: str = "stop", calls: tuple[ToolCall, ...] = ()
) -> Turn:
    return Turn("call", "m", text, "", refusal, calls, finish, Tokens(1, 1, is_estimated=False))


def test_text_is_the_answer() -> None:
    assert judged(plan(), turn("Rome."), may_correct=True) == Answer("Rome.")


def test_text_cut_at_max_tokens_is_still_the_answer() -> None:
    assert judged(plan(), turn("Rom", finish="length"), may_correct=True) == Answer("Rom")


def test_a_refusal_is_what_the_model_says() -> None:
    assert judged(plan(), turn(refusal="I will not."), may_correct=True) == Answer("I will not.")


@pytest.mark.parametrize(
    ("last", "says"),
    [
        (turn(), "empty answer"),
        (turn(finish="length"), "used up max_tokens"),
        (turn("half", finish="content_filter"), "content filter"),
        (turn(calls=(ToolCall("1", "now", "{}"),)), "still called tools after 16 turns"),
    ],
)
def test_no_answer_is_a_failure_that_says_why(last: Turn, says: str) -> None:
    with pytest.raises(AgentFailed, match=says):
        judged(plan(), last, may_correct=False)


@pytest.mark.parametrize(
    "text", ['{"city": "Rome", "people": 3}', '```json\n{"city": "Rome", "people": 3}\n```']
)
def test_json_of_the_schema_is_the_output(text: str) -> None:
    structured = plan(output_schema=SCHEMA)

    assert judged(structured, turn(text), may_correct=True) == Answer(text, {"city": "Rome", "people": 3})


def test_a_long_row_of_blank_lines_costs_no_time() -> None:
    text = "```json\n" + "\n" * 200_000 + "x"

    assert isinstance(judged(plan(output_schema=SCHEMA), turn(text), may_correct=True), str)


@pytest.mark.parametrize("text", ["Rome", '{"city": "Rome"}', '{"city": "Rome", "people": "3"}', "[]"])
def test_anything_else_is_sent_back_and_at_last_a_failure(text: str) -> None:
    structured = plan(output_schema=SCHEMA)

    assert "JSON Schema" in str(judged(structured, turn(text), may_correct=True))
    with pytest.raises(AgentFailed, match="output_schema"):
        judged(structured, turn(text), may_correct=False)


@pytest.mark.parametrize("last", [turn(refusal="I will not."), turn('{"city": "Ro', finish="length")])
def test_what_cannot_be_corrected_is_a_failure_at_once(last: Turn) -> None:
    structured = plan(output_schema=SCHEMA)

    with pytest.raises(AgentFailed):
        judged(structured, last, may_correct=True)
