"""What a chat agent's row may ask for, and what it is told when it cannot be used."""

from __future__ import annotations

import pytest

from foundation.errors import Json, NotConfigured
from heavy_agents.agents.chat_plan import read_plan
from heavy_agents.runs import AgentSnapshot


def agent(**row: Json) -> AgentSnapshot:
    return AgentSnapshot.from_json({"id": None, "name": "Test", "kind": "chat", **row})


def test_an_empty_row_is_a_plan() -> None:
    plan = read_plan(agent(), default_model="some/model")

    assert plan.model == "some/model"
    limits = (plan.max_turns, plan.context_tokens, plan.max_tokens, plan.token_budget)
    assert limits == (16, 100_000, None, None)
    assert plan.response_format is None


def test_a_row_says_what_it_wants() -> None:
    schema: dict[str, Json] = {"type": "object", "properties": {"a": {"type": "integer"}}}

    plan = read_plan(
        agent(
            ai_model="own/model",
            temperature=0.2,
            max_tokens=500,
            config={"max_turns": 3, "context_tokens": 2000, "token_budget": 9000, "output_schema": schema},
        ),
        default_model="some/model",
    )

    assert (plan.model, plan.temperature, plan.max_tokens, plan.max_turns) == ("own/model", 0.2, 500, 3)
    assert plan.room_tokens == 1500
    assert plan.response_format == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema},
    }


def test_the_question_keeps_half_of_the_context_whatever_the_answer_may_take() -> None:
    plan = read_plan(agent(max_tokens=5000, config={"context_tokens": 1000}), default_model="m")

    assert plan.room_tokens == 500


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"knowledge_base": "text"}, "knowledge_base"),
        ({"config": {"max_turns": 1000}}, "max_turns"),
        ({"config": {"max_turn": 3}}, "max_turn"),
        ({"config": {"output_schema": "object"}}, "output_schema"),
        ({"config": {"output_schema": {"type": 7}}}, "output_schema"),
        ({"config": {"output_schema": {"$ref": "https://schemas.example/a.json"}}}, "output_schema"),
    ],
)
def test_a_mistake_in_the_row_is_named(row: dict[str, Json], names: str) -> None:
    with pytest.raises(NotConfigured, match=names):
        read_plan(agent(**row), default_model="m")
