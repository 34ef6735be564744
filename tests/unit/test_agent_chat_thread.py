"""What a chat agent sends to its model, and what it leaves out when that is too long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Json
from heavy_agents.agents.chat_plan import read_plan
from heavy_agents.agents.chat_thread import LEFT_OUT, Wire, fit, newest_of_the_user, opening, said, told
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
        assert estimate_tokens([*system, *thread[newest:]]) > limit_tokens - estimate_tokens(
            [{"role": "system", "content": LEFT_OUT}]
        )
        return

    assert estimate_tokens(kept) <= limit_tokens
    without_note = [each for each in kept if each["content"] != LEFT_OUT]
    assert without_note[: len(system)] == system
    rest = without_note[len(system) :]
    originals = thread[len(thread) - len(rest) :]
    assert [each["role"] for each in rest] == [each["role"] for each in originals]
    assert len(rest) >= len(thread) - newest
    for cut, original in zip(rest, originals, strict=True):
        if cut != original:
            assert original["role"] == "tool"
    assert (LEFT_OUT in [each["content"] for each in kept]) == (len(without_note) < len(thread))


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
