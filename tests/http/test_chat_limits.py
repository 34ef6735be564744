"""What bounds a chat run: turns, tokens, credits, deadlines; and who pays when a bound is reached."""

from __future__ import annotations

import pytest

from tests.support.chat import ChatServer, ask, chatting, usage
from tests.support.server import Person, TestServer

PRICED = {"flat": 1, "per_1k_tokens": 1, "ceiling": 3}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.fixture(scope="module")
def server(chat: ChatServer) -> TestServer:
    return chat.server


async def test_the_last_turn_may_call_no_tools(chat: ChatServer, person: Person) -> None:
    agent = await chat.agent(person.id, tools=["now"], config={"max_turns": 2})
    await chat.model.play(
        {"when": {"nth": 1}, "reply": {"tool_calls": [{"name": "now"}]}},
        {"when": {"nth": 2}, "reply": {"text": "Enough."}},
    )

    messages = await ask(person, agent, "time?")

    assert messages[-1]["response"] == "Enough."
    assert [call.body.get("tool_choice") for call in chat.model.log.calls] == [None, "none"]


async def test_a_model_that_only_calls_tools_ends_as_the_agents_error(
    chat: ChatServer, person: Person
) -> None:
    agent = await chat.agent(person.id, tools=["now"], config={"max_turns": 3})
    await chat.model.play({"reply": {"tool_calls": [{"name": "now"}]}})

    messages = await ask(person, agent, "time?")

    assert (messages[-1]["type"], messages[-1]["code"]) == ("error", "agent_error")
    assert "after 3 turns" in messages[-1]["error"]
    assert len(chat.model.log.calls) == 3


async def test_when_the_hold_is_reached_the_partial_answer_is_kept_and_the_hold_is_charged(
    chat: ChatServer, person: Person
) -> None:
    agent = await chat.agent(person.id, tools=["now"], price=PRICED)
    await chat.model.play(
        {
            "reply": {
                "text": "I begin to think.",
                "tool_calls": [{"name": "now"}],
                "usage": usage(2500, 100),
            }
        }
    )

    last = (await ask(person, agent, "think"))[-1]

    assert (last["code"], last["creditsUsed"]) == ("credit_exhausted", 3)
    assert last["response"] == "I begin to think."
    assert len(chat.model.log.calls) == 1


async def test_an_answer_is_asked_for_no_longer_than_the_hold_can_pay(
    chat: ChatServer, person: Person
) -> None:
    agent = await chat.agent(person.id, price=PRICED, max_tokens=50_000)
    await chat.model.play({"reply": {"text": "cut", "finish": "length", "usage": usage(100, 2000)}})

    last = (await ask(person, agent, "think"))[-1]

    assert 1990 <= chat.model.log.calls[0].body["max_tokens"] < 2000
    assert (last["code"], last["response"], last["creditsUsed"]) == ("credit_exhausted", "cut", 3)


async def test_the_agents_own_budget_of_tokens_ends_the_run(chat: ChatServer, person: Person) -> None:
    agent = await chat.agent(person.id, tools=["now"], config={"token_budget": 1000})
    await chat.model.play(
        {"reply": {"text": "Hm.", "tool_calls": [{"name": "now"}], "usage": usage(900, 200)}}
    )

    last = (await ask(person, agent, "think"))[-1]

    assert (last["code"], last["response"]) == ("agent_error", "Hm.")
    assert "budget of 1000 tokens" in last["error"]


async def test_the_operators_limit_of_tokens_ends_a_run_of_any_agent(database_url: str) -> None:
    async with chatting(database_url, run_token_limit=1000) as chat, chat.server.person() as person:
        agent = await chat.agent(person.id, tools=["now"], config={"token_budget": 1_000_000})
        await chat.model.play(
            {"reply": {"text": "Hm.", "tool_calls": [{"name": "now"}], "usage": usage(900, 200)}}
        )

        last = (await ask(person, agent, "think"))[-1]

        assert (last["code"], last["response"]) == ("agent_error", "Hm.")
        assert "limit of tokens" in last["error"]
        assert len(chat.model.log.calls) == 1


async def test_a_question_the_hold_cannot_pay_for_is_not_asked(chat: ChatServer, person: Person) -> None:
    agent = await chat.agent(person.id, price=PRICED)
    await chat.model.play()

    last = (await ask(person, agent, "x" * 9000))[-1]

    assert (last["code"], last["creditsUsed"]) == ("credit_exhausted", 0)
    assert chat.model.log.calls == []


async def test_a_deadline_of_the_agents_own_does_not_make_its_runs_free(
    chat: ChatServer, person: Person
) -> None:
    agent = await chat.agent(person.id, config={"deadline_s": 1})
    await chat.model.play({"reply": {"text": "word " * 400, "between_s": 0.02}})

    last = (await ask(person, agent, "think"))[-1]

    assert (last["code"], last["creditsUsed"]) == ("deadline_exceeded", 1)
    assert last["response"].startswith("word")


async def test_tools_of_a_turn_that_was_cut_off_are_not_called(chat: ChatServer, person: Person) -> None:
    agent = await chat.agent(person.id, tools=["now"])
    await chat.model.play(
        {"when": {"nth": 1}, "reply": {"tool_calls": [{"name": "now", "arguments": ""}], "finish": "length"}},
        {"when": {"contains": "cut off"}, "reply": {"text": "Then without."}},
    )

    messages = await ask(person, agent, "time?")

    assert [message["type"] for message in messages] == ["started", "chunk", "done"]
    assert messages[-1]["response"] == "Then without."


async def test_an_answer_nested_too_deeply_is_told_and_paid_for_once(
    chat: ChatServer, person: Person
) -> None:
    agent = await chat.agent(person.id, config={"output_schema": {}})
    await chat.model.play({"reply": {"text": "[" * 600 + "]" * 600}})

    last = (await ask(person, agent, "deep"))[-1]

    assert (last["code"], last["creditsUsed"]) == ("agent_error", 1)


async def test_an_answer_is_corrected_twice_at_most(chat: ChatServer, person: Person) -> None:
    agent = await chat.agent(person.id, config={"output_schema": SCHEMA})
    await chat.model.play({"reply": {"text": "Rome"}})

    last = (await ask(person, agent, "Where?"))[-1]

    assert last["code"] == "agent_error"
    assert len(chat.model.log.calls) == 3


async def test_corrections_count_towards_the_agents_budget_of_tokens(
    chat: ChatServer, person: Person
) -> None:
    agent = await chat.agent(person.id, config={"output_schema": SCHEMA, "token_budget": 10})
    await chat.model.play({"reply": {"text": "Rome", "usage": usage(20, 5)}})

    last = (await ask(person, agent, "Where?"))[-1]

    assert "budget of 10 tokens" in last["error"]
    assert len(chat.model.log.calls) == 1


async def test_where_nothing_is_held_no_run_ends_for_want_of_credits(database_url: str) -> None:
    async with chatting(database_url, credits_owner="off") as chat, chat.server.person() as person:
        agent = await chat.agent(person.id, price=PRICED)
        await chat.model.play({"reply": {"text": "At length.", "usage": usage(90_000, 9000)}})

        last = (await ask(person, agent, "think"))[-1]

        assert (last["type"], last["creditsUsed"]) == ("done", 0)
