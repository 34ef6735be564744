"""What a chat agent makes of the model's last turn: an answer, a call to correct it, or a failure. Pure."""

from __future__ import annotations

from typing import Final

import orjson

from foundation.errors import Json
from heavy_agents.agents.chat_plan import Plan
from heavy_agents.llm import Turn
from heavy_agents.runs import AgentFailed, Answer
from heavy_agents.tools import SchemaCheck

__all__ = ["judged"]

FENCE: Final = "```"
MOST_PROBLEMS: Final = 10
WRONG_SHAPE: Final = (
    "Your answer does not fit the JSON Schema you were given. Answer again, with the JSON alone."
)


def judged(plan: Plan, turn: Turn, *, may_correct: bool) -> Answer | str:
    """The answer of the run, or what to tell a model whose answer is not the JSON it was asked for.

    Args:
        may_correct: the model can be asked again.

    Raises:
        AgentFailed: there is no answer, or it is not what the agent promises.
    """
    if may_correct and (problem := _correction(plan, turn)) is not None:
        return problem
    return _answer(plan, turn)


def _correction(plan: Plan, turn: Turn) -> str | None:
    if plan.output_schema is None or turn.refusal or turn.finish in {"length", "content_filter"}:
        return None
    _, problems = _parsed(plan.output_schema, turn.text)
    if not problems:
        return None
    listed = "\n".join(f"- {problem}" for problem in problems)
    return f"{WRONG_SHAPE}\n{listed}"


def _answer(plan: Plan, turn: Turn) -> Answer:
    if turn.finish == "content_filter":
        raise AgentFailed("the model's content filter stopped the answer")
    if plan.output_schema is not None:
        return _structured(plan.output_schema, turn)
    if text := turn.text or turn.refusal:
        return Answer(text)
    if turn.tool_calls:
        raise AgentFailed(f"the model still called tools after {plan.max_turns} turns and gave no answer")
    if turn.finish == "length":
        raise AgentFailed("the model used up max_tokens before it began to answer; allow it more")
    raise AgentFailed("the model gave an empty answer")


def _structured(schema: dict[str, Json], turn: Turn) -> Answer:
    if turn.refusal:
        raise AgentFailed(f"the model refused: {turn.refusal[:1000]}")
    if turn.finish == "length":
        raise AgentFailed("the answer was cut off at max_tokens and is no complete JSON; allow it more")
    output, problems = _parsed(schema, turn.text)
    if problems:
        raise AgentFailed(f"the model's answer does not fit the agent's output_schema: {problems[0]}")
    return Answer(turn.text, output)


def _parsed(schema: dict[str, Json], text: str) -> tuple[Json, list[str]]:
    """The value, and what is wrong with it. Some models wrap their JSON in a fence."""
    try:
        value: Json = orjson.loads(_unfenced(text.strip()))
    except orjson.JSONDecodeError:
        return None, ["it is no JSON"]
    return value, SchemaCheck(schema).problems(value)[:MOST_PROBLEMS]


def _unfenced(text: str) -> str:
    if not text.startswith(FENCE) or not text.endswith(FENCE):
        return text
    return text[len(FENCE) : -len(FENCE)].removeprefix("json")
