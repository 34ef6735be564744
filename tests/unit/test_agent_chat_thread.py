"""What a chat agent sends to its model, and what it leaves out when that is too long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Json
from heavy_agents.agents.chat_fit import LEFT_OUT, fit, newest_of_the_user
from heavy_agents.agents.chat_plan import read_plan
from heavy_agents.agents.chat_thread import Wire, opening, said, told
from heavy_agents.llm import Tokens, ToolCall, Turn, estimate_tokens
from heavy_agents.runs import AgentFailed, AgentSnapshot, Message
from heavy_agents.tools import Outcome


def agent(**row: Json) -> AgentSnapshot:
    return AgentSnapshot.from_json({"id": None, "name": "Test", "kind": "chat", **row})


def turn(*calls: ToolCall, text: str = "") -> Turn:
    return Turn("call", "model", text, "", None, calls, "stop", Tokens(1, 1, is_estimated=False))


TEXTS = st.text(st.characters(codec="utf-8"), max_size=400)
HISTORY: st.SearchStrategy[list[Wire]] = st.lists(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["user", "assistant"]),
        TEXTS,
    ),
    max_size=12,
)


@st.composite
def loops(draw: st.DrawFn) -> list[Wire]:
    """What follows the user's newest message: calls of tools, each with its results."""
    messages: list[Wire] = []
    for number in range(draw(st.integers(0, 3))):
        calls = [ToolCall(f"{number}-{each}", "now", "{}") for each in range(draw(st.integers(1, 3)))]
        messages.append(said(turn(*calls, text=draw(TEXTS))))
        messages.extend(told(call.id, Outcome.succeeded(draw(TEXTS) * 8)) for call in calls)
    return messages


@given(
    has_system=st.booleans(),
    history=HISTORY,
    question=TEXTS,
    loop=loops(),
    limit_tokens=st.integers(40, 3000),
)
def test_what_is_kept_fits_and_the_rule_holds(
    *, has_system: bool, history: list[Wire], question: str, loop: list[Wire], limit_tokens: int
) -> None:
    system: list[Wire] = [{"role": "system", "content": "Be brief."}] if has_system else []
    thread = [*system, *history, {"role": "user", "content": question}, *loop]
    newest = len(system) + len(history)

    try:
        kept = fit(thread, newest=newest, limit_tokens=limit_tokens)
    except AgentFailed:
        note: Wire = {"role": "system", "content": LEFT_OUT}
        last_turn = loop[max((i for i, each in enumerate(loop) if each["role"] == "assistant"), default=0) :]
        assert estimate_tokens([*system, note, thread[newest], *last_turn]) > limit_tokens
        return

    assert estimate_tokens(kept) <= limit_tokens
    asked = next(index for index, each in enumerate(kept) if each is thread[newest])
    before = [each for each in kept[len(system) : asked] if each["content"] != LEFT_OUT]
    after = kept[asked + 1 :]
    assert kept[: len(system)] == system
    assert before == (history[-len(before) :] if before else [])
    assert [each["role"] for each in after] == [each["role"] for each in loop[len(loop) - len(after) :]]
    assert after[:1] == [] or after[0]["role"] == "assistant"
    assert all(
        cut == whole or whole["role"] == "tool" for cut, whole in zip(after[::-1], loop[::-1], strict=False)
    )
    is_whole = len(before) + len(after) == len(history) + len(loop)
    assert (LEFT_OUT in [each["content"] for each in kept]) != is_whole


def test_a_conversation_that_fits_is_sent_as_it_is() -> None:
    thread: list[Wire] = [{"role": "user", "content": "hello"}]

    assert fit(thread, newest=0, limit_tokens=100) == thread


def test_the_oldest_messages_go_first() -> None:
    thread: list[Wire] = [
        {"role": "user", "content": "a" * 300},
        {"role": "assistant", "content": "b" * 300},
        {"role": "user", "content": "c"},
    ]

    kept = fit(thread, newest=2, limit_tokens=140)

    assert [str(each["content"])[0] for each in kept] == ["[", "b", "c"]


def test_results_of_tools_are_cut_when_nothing_older_is_left() -> None:
    call = ToolCall("1", "http_fetch", "{}")
    thread: list[Wire] = [
        {"role": "user", "content": "read it"},
        said(turn(call)),
        told("1", Outcome.succeeded("x" * 9000)),
    ]

    kept = fit(thread, newest=0, limit_tokens=400)

    assert str(kept[2]["content"]).endswith("[cut to save room]")
    assert kept[2]["tool_call_id"] == "1"


@pytest.mark.parametrize(
    ("name", "repeated"), [("now", "now"), ("a.b c\x00", "a_b_c_"), ("x" * 100, "x" * 64), ("", "_")]
)
def test_a_name_no_tool_can_have_is_repeated_as_one_it_could(name: str, repeated: str) -> None:
    calls = said(turn(ToolCall("1", name, "{}")))["tool_calls"]

    assert calls == [{"id": "1", "type": "function", "function": {"name": repeated, "arguments": "{}"}}]


def test_the_oldest_turns_of_the_run_go_when_nothing_else_is_left() -> None:
    thread: list[Wire] = [{"role": "user", "content": "read them"}]
    for number in range(5):
        call = ToolCall(str(number), "http_fetch", "{}")
        thread += [said(turn(call)), told(str(number), Outcome.succeeded("x" * 500))]

    kept = fit(thread, newest=0, limit_tokens=600)

    assert [each.get("tool_call_id") for each in kept if each["role"] == "tool"] == ["3", "4"]
    assert [each["role"] for each in kept[:3]] == ["system", "user", "assistant"]


def test_arguments_that_are_no_object_are_repeated_as_an_empty_one() -> None:
    calls = said(turn(ToolCall("1", "now", '{"a": ')))["tool_calls"]

    assert calls == [{"id": "1", "type": "function", "function": {"name": "now", "arguments": "{}"}}]


def test_a_question_too_long_by_itself_ends_the_run_with_a_sentence() -> None:
    with pytest.raises(AgentFailed, match="longer than this agent can take in"):
        fit([{"role": "user", "content": "x" * 9000}], newest=0, limit_tokens=400)


def test_the_tools_sent_along_count() -> None:
    thread: list[Wire] = [{"role": "user", "content": "a" * 300}, {"role": "user", "content": "b"}]
    tools: list[Wire] = [{"type": "function", "function": {"name": "x", "description": "d" * 300}}]

    assert len(fit(thread, newest=1, limit_tokens=150)) == 2
    assert [each["content"] for each in fit(thread, newest=1, limit_tokens=170, tools=tools)] == [
        LEFT_OUT,
        "b",
    ]


def test_system_prompt_then_knowledge_then_the_conversation() -> None:
    plan = read_plan(
        agent(
            system_prompt=" You are terse. ",
            knowledge_base=[
                {"title": "Hours", "content": "9 to 5"},
                {"content": "Closed on Sunday"},
                {"content": ""},
            ],
        ),
        default_model="m",
    )

    thread = opening(plan, [Message("user", "hi"), Message("assistant", "yes?"), Message("user", "open?")])

    assert thread[0] == {
        "role": "system",
        "content": "You are terse.\n\n# Knowledge base\n\n## Hours\n9 to 5\n\nClosed on Sunday",
    }
    assert thread[1:] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": "open?"},
    ]
    assert newest_of_the_user(thread) == 3


def test_an_agent_without_a_prompt_sends_none() -> None:
    assert opening(read_plan(agent(), default_model="m"), [Message("user", "hi")]) == [
        {"role": "user", "content": "hi"}
    ]
