"""What an agent's functions do before the model is asked, and that nobody is led where they must not go."""

from __future__ import annotations

import pytest

from tests.support.chat import ChatServer
from tests.support.light import add_function, ask_runtime, ledger, light_agent
from tests.support.server import Document, Person, TestServer


@pytest.fixture(scope="module")
def server(chat: ChatServer) -> TestServer:
    return chat.server


async def test_a_conditional_reply_ends_the_request_for_one_credit(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id, price={"flat": 5})
    await add_function(chat.server, agent, "conditional", {"response": "From nine."}, keyword="opening hours")
    await chat.model.play()

    answer = await ask_runtime(person, agent, "What are your OPENING HOURS?")

    assert (answer.json()["response"], answer.json()["creditsUsed"]) == ("From nine.", 1)
    assert answer.json()["usage"] == {}
    assert chat.model.log.calls == []
    assert await ledger(chat.server, person) == [("hold", 0), ("settle", -1)]


async def test_a_function_without_its_keyword_does_nothing(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id)
    await add_function(chat.server, agent, "conditional", {"response": "From nine."}, keyword="hour")
    await chat.model.play()

    answer = await ask_runtime(person, agent, "I am here for hours.")

    assert answer.json()["response"] != "From nine."
    assert len(chat.model.log.calls) == 1


async def test_a_template_is_read_by_the_model_before_the_message(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id, system_prompt="Be brief.")
    await add_function(chat.server, agent, "data_transform", {"template": "They said: {{message}}"})
    await chat.model.play()

    await ask_runtime(
        person,
        agent,
        messages=[
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "go on"},
        ],
    )

    (asked,) = chat.model.log.calls
    assert [(each["role"], each["content"]) for each in asked.body["messages"]] == [
        ("system", "Be brief."),
        ("user", "hi"),
        ("assistant", "hello"),
        ("system", "# Weather\n\nThey said: go on"),
        ("user", "go on"),
    ]


@pytest.mark.parametrize(
    "config",
    [
        {"url": "http://example.com/"},
        {"url": "https://127.0.0.1/"},
        {"url": "https://[::1]/"},
        {"url": "https://2130706433/"},
        {"url": "https://localhost/"},
        {"url": "https://metadata.google.internal/"},
        {"url": "https://printer.local/"},
        {"url": "https://router/"},
        {"url": "https://example.com:8443/"},
        {"url": "https://user:secret-of-the-url@example.com/"},
        {"url": "https://no-such-name.invalid/?key=secret-of-the-url"},
        {"url": "https://no-such-name.invalid/", "method": "CONNECT"},
        {"url": "https://no-such-name.invalid/", "headers": {"host": "secret-of-the-url"}},
        {"url": "https://no-such-name.invalid/", "headers": {"x": "a\r\nb"}},
        {"url": "https://no-such-name.invalid/", "headers": {"x": 1}},
        {"url": 7},
        {},
    ],
    ids=str,
)
async def test_a_call_that_may_not_be_made_is_told_to_the_model_as_failed(
    chat: ChatServer, person: Person, config: Document
) -> None:
    agent = await light_agent(chat, person.id)
    await add_function(chat.server, agent, "api_call", config)
    await chat.model.play()

    answer = await ask_runtime(person, agent, "go")

    assert answer.status_code == 200, answer.text
    (asked,) = chat.model.log.calls
    note, question = asked.body["messages"]
    assert (note["role"], question["content"]) == ("system", "go")
    assert note["content"].startswith("# Weather\n\nThe function failed.")
    assert "secret-of-the-url" not in answer.text + note["content"]


async def test_a_webhook_that_fails_is_told_to_nobody(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id)
    await add_function(chat.server, agent, "webhook", {"url": "https://127.0.0.1/hook"})
    await chat.model.play()

    answer = await ask_runtime(person, agent, "go")

    assert answer.status_code == 200, answer.text
    (asked,) = chat.model.log.calls
    assert [each["role"] for each in asked.body["messages"]] == ["user"]


async def test_no_more_than_ten_functions_are_called(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id)
    for number in range(12):
        config = {"template": f"number {number}"}
        await add_function(chat.server, agent, "data_transform", config, order=number)
    await chat.model.play()

    await ask_runtime(person, agent, "go")

    (asked,) = chat.model.log.calls
    notes = [each["content"] for each in asked.body["messages"][:-1]]
    assert [f"number {number}" in note for number, note in enumerate(notes)] == [True] * 10 + [False] * 2
    assert all("The function failed." in note for note in notes[10:])
