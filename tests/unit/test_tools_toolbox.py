from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Json, NotConfigured
from heavy_agents.tools import Call, Outcome, Toolbox, ToolFailed, function_tool

CALL = Call(key="run:1", spend=lambda _: None)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
)
# What a journal can hold: no lone surrogates.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20
)


async def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def hang() -> None:
    await asyncio.Event().wait()


async def refuse() -> None:
    raise ToolFailed("the shop is closed")


async def breaks(how: str) -> Json:
    if how == "timeout":
        raise TimeoutError("secret")
    if how == "recursion":
        endless: list[Json] = []
        endless.append(endless)
        return endless
    raise RuntimeError("secret")


async def say(text: str, times: int = 1) -> str:
    return text * times


def toolbox(*, timeout_s: float = 5.0, max_result_bytes: int = 1_024) -> Toolbox:
    tools = [function_tool(each) for each in (add, hang, refuse, breaks, say)]
    return Toolbox(tools, timeout_s=timeout_s, max_result_bytes=max_result_bytes)


def test_the_model_is_told_of_each_tool() -> None:
    spec = toolbox().specs[0]

    assert spec == {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Add two numbers.",
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 1}},
                "required": ["a"],
                "additionalProperties": False,
            },
        },
    }


async def test_a_call_ends_in_its_result() -> None:
    outcome = await toolbox().call("add", '{"a": 2, "b": 3}', CALL)

    assert outcome == Outcome(ok=True, result=5, error=None)
    assert (outcome.for_model(), outcome.shown()) == ("5", 5)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("ad", '{"a": 1}', "there is no tool 'ad'; call one of: add,"),
        ("add", '{"a": 1', "the arguments are no valid JSON"),
        ("add", '{"a": NaN}', "the arguments are no valid JSON"),
        ("add", "[1]", "the arguments are a list; send one JSON object"),
        ("add", "null", "the arguments are null; send one JSON object"),
        ("add", "", "a: is missing"),
        ("add", '{"a": "1"}', "a: Input should be a valid integer"),
        ("add", '{"a": ' + "[" * 64 + "]" * 64 + "}", "deeper than 64 levels"),
        ("add", "[" * 100_000, "no valid JSON"),
        ("say", json.dumps({"text": "x" * 300_000}), "more than 262144 bytes; send less"),
        ("refuse", "{}", "the shop is closed"),
        ("say", '{"text": "\\ud800"}', "no valid JSON"),
        ("say", '{"text": "\ud800"}', "no valid JSON"),
        ("say", '{"text": "a", "\\u0000": 1}', "there is no such argument"),
    ],
)
async def test_a_mistake_tells_the_model_what_to_do(name: str, arguments: str, told: str) -> None:
    outcome = await toolbox().call(name, arguments, CALL)

    assert not outcome.ok
    assert told in str(outcome.error)
    assert json.loads(outcome.for_model()) == {"error": outcome.error}


@pytest.mark.parametrize("how", ["error", "timeout", "recursion"])
async def test_a_tool_that_breaks_says_nothing_of_its_inside(how: str) -> None:
    outcome = await toolbox().call("breaks", json.dumps({"how": how}), CALL)

    assert outcome == Outcome(
        ok=False, result=None, error="breaks broke down; go on without it or try something else"
    )


async def test_a_slow_tool_is_stopped() -> None:
    outcome = await toolbox(timeout_s=0.01).call("hang", "{}", CALL)

    assert outcome.error == "hang took longer than 0.01 s and was stopped; ask for less"


async def test_a_cancelled_call_is_cancelled() -> None:
    call = asyncio.create_task(toolbox().call("hang", "{}", CALL))
    await asyncio.sleep(0)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_large_result_is_visibly_cut() -> None:
    outcome = await toolbox().call("say", '{"text": "word ", "times": 1000}', CALL)

    assert len(orjson.dumps(outcome.result)) <= 1_024
    assert str(outcome.result).startswith("word word")
    assert "more characters]" in str(outcome.result)


async def test_what_a_journal_cannot_hold_is_replaced() -> None:
    outcome = await toolbox().call("say", '{"text": "a\\u0000b"}', CALL)

    assert outcome.result == "a\N{REPLACEMENT CHARACTER}b"


async def test_an_empty_toolbox_says_so() -> None:
    outcome = await Toolbox([]).call("add", "{}", CALL)

    assert outcome.error == "there are no tools here; answer without them"


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(NotConfigured, match="'add' is there twice"):
        Toolbox([function_tool(add), function_tool(add)])


def test_a_name_no_model_could_call_is_refused() -> None:
    with pytest.raises(NotConfigured, match="1 to 64 letters"):
        Toolbox([replace(function_tool(add), name="add up")])


@given(st.sampled_from(["add", "say", "refuse", "breaks", "none"]), st.text() | VALUES.map(json.dumps))
async def test_any_text_ends_in_an_outcome(name: str, arguments: str) -> None:
    outcome = await toolbox(max_result_bytes=300).call(name, arguments, CALL)

    assert outcome.ok == (outcome.error is None)
    assert Outcome.from_json(orjson.loads(orjson.dumps(outcome.to_json()))) == outcome
    assert outcome.for_model()


@given(VALUES)
def test_a_journaled_result_comes_back_as_it_was(result: Json) -> None:
    outcome = Outcome.succeeded(result)

    assert Outcome.from_json(json.loads(orjson.dumps(outcome.to_json()))) == outcome


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_journaled_error_comes_back_as_it_was(error: str) -> None:
    assert Outcome.from_json(Outcome.failed(error).to_json()) == Outcome.failed(error)


@pytest.mark.parametrize("stored", [None, {}, {"ok": True, "result": 1, "error": "both"}, {"ok": 1}])
def test_what_is_no_outcome_is_not_read_as_one(stored: Json) -> None:
    with pytest.raises(ValueError, match="no stored outcome"):
        Outcome.from_json(stored)
