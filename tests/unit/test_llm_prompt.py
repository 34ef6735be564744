from __future__ import annotations

import json
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Json
from heavy_agents.llm import Prompt, estimate_tokens
from heavy_agents.llm.prompt import MAX_MODELS, MAX_NAME, Quirk, Quirks, write

MESSAGES = [{"role": "user", "content": "hello"}]


def test_a_prompt_leaves_out_what_is_not_set() -> None:
    assert json.loads(write(Prompt("m", MESSAGES))) == {
        "model": "m",
        "messages": MESSAGES,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_prompt_carries_all_that_is_set() -> None:
    tool = MappingProxyType({"type": "function", "function": {"name": "f"}})
    prompt = Prompt("m", MESSAGES, (tool,), "auto", 0.0, 5, {"type": "json_object"})  # type: ignore[arg-type]

    body = json.loads(write(prompt))

    assert body["tools"] == [dict(tool)]
    assert (body["tool_choice"], body["temperature"], body["max_tokens"]) == ("auto", 0.0, 5)
    assert body["response_format"] == {"type": "json_object"}


def test_a_model_is_asked_without_what_it_does_not_take() -> None:
    prompt = Prompt("m", MESSAGES, temperature=0.5, max_tokens=5)

    body = json.loads(write(prompt, quirks=frozenset(Quirk)))

    assert body == {"model": "m", "messages": MESSAGES, "stream": True, "max_completion_tokens": 5}


def test_a_choice_of_tools_is_not_sent_without_tools() -> None:
    assert "tool_choice" not in json.loads(write(Prompt("m", MESSAGES, tool_choice="auto")))


def test_what_the_fast_encoder_refuses_is_sent_all_the_same() -> None:
    odd: list[dict[str, Json]] = [
        {"role": "user", "content": "half \ud83d"},
        {"role": "user", "content": 2**70},
    ]

    assert json.loads(write(Prompt("m", odd)))["messages"] == odd


def test_quirks_are_remembered_for_each_model_and_not_for_ever() -> None:
    quirks = Quirks()
    for number in range(MAX_MODELS + 1):
        quirks.learn(f"m{number}", frozenset({Quirk.TEMPERATURE}))

    assert quirks.of("m0") == frozenset()
    assert quirks.of("m1") == quirks.of(f"m{MAX_MODELS}") == {Quirk.TEMPERATURE}


def test_a_name_longer_than_models_have_is_not_remembered() -> None:
    quirks = Quirks()

    quirks.learn("m" * MAX_NAME, frozenset({Quirk.TEMPERATURE}))
    quirks.learn("m" * (MAX_NAME + 1), frozenset({Quirk.TEMPERATURE}))

    assert quirks.of("m" * MAX_NAME) == {Quirk.TEMPERATURE}
    assert quirks.of("m" * (MAX_NAME + 1)) == frozenset()


@given(st.text())
def test_a_text_has_a_token_for_every_three_bytes(text: str) -> None:
    assert estimate_tokens(text) == -(-len(text.encode(errors="surrogatepass")) // 3)


def test_a_message_has_four_tokens_more_than_its_content() -> None:
    assert (
        estimate_tokens([{"role": "user", "content": "abcdef"}, {"role": "user", "content": None}])
        == 4 + 2 + 4
    )


def test_tool_calls_parts_and_tools_are_counted_as_they_travel() -> None:
    part: dict[str, Json] = {"type": "text", "text": "ü"}
    as_json = len(json.dumps([part], ensure_ascii=False, separators=(",", ":")).encode())

    assert estimate_tokens([{"role": "user", "content": [part]}]) == 4 + -(-as_json // 3)
    assert estimate_tokens([], tools=[{"a": 1}]) == -(-len('{"a":1}') // 3)


@given(st.lists(st.text(max_size=20), max_size=5))
def test_a_longer_conversation_is_never_estimated_lower(texts: list[str]) -> None:
    messages = [{"role": "user", "content": text} for text in texts]

    assert estimate_tokens([*messages, {"role": "user", "content": ""}]) > estimate_tokens(messages)
