"""A chat run over the front door: what the model is asked, what the person sees, what it costs."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.chat import ChatServer, ask, usage
from tests.support.server import Document, Person, TestServer, assert_problem, running_server, until

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def server(chat: ChatServer) -> TestServer:
    return chat.server


def kinds(messages: list[Document]) -> list[str]:
    return [message["type"] for message in messages]


def text(messages: list[Document]) -> str:
    return "".join(message["content"] for message in messages if message["type"] == "chunk")


async def charged(person: Person, run_id: str) -> int:
    credits_used: int = (await person.client.get(f"/api/runs/{run_id}")).json()["creditsUsed"]
    return credits_used


async def test_two_tools_in_parallel_and_a_turn_that_follows(chat: ChatServer, person: Person) -> None:
    agent = await chat.agent(
        person.id, tools=["now"], system_prompt="You know the time.", ai_model="own/model"
    )
    await chat.model.play(
        {
            "when": {"tool_results": 0},
            "reply": {
                "text": "Let me see.",
                "tool_calls": [
                    {"name": "now", "arguments": {"timezone": "Asia/Kolkata"}},
                    {"name": "now", "arguments": {"timezone": "Atlantis"}},
                ],
            },
        },
        {"when": {"tool_results": 2}, "reply": {"text": "It is late."}},
    )

    messages = await ask(person, agent, "What time is it?")

    assert kinds(messages)[:2] == ["started", "chunk"]
    assert kinds(messages)[-2:] == ["chunk", "done"]
    assert sorted(kinds(messages)[2:-2]) == ["tool_call"] * 2 + ["tool_result"] * 2
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    results = {message["step"]: message for message in messages if message["type"] == "tool_result"}
    assert results["turn-1.1 now"]["ok"] is True
    assert results["turn-1.1 now"]["result"]["timezone"] == "Asia/Kolkata"
    assert results["turn-1.2 now"]["ok"] is False
    assert "Atlantis" in results["turn-1.2 now"]["error"]
    assert text(messages) == "Let me see.It is late."
    assert messages[-1]["response"] == "It is late."
    assert messages[-1]["creditsUsed"] == 1
    assert {name: messages[-1]["usage"][name] for name in ("modelCalls", "toolCalls")} == {
        "modelCalls": 2,
        "toolCalls": 2,
    }
    first, second = (call.body for call in chat.model.log.calls)
    assert first["model"] == "own/model"
    assert [each["role"] for each in first["messages"]] == ["system", "user"]
    assert [each["function"]["name"] for each in first["tools"]] == ["now"]
    assert [each["role"] for each in second["messages"]] == ["system", "user", "assistant", "tool", "tool"]


async def test_the_row_decides_what_is_asked(chat: ChatServer, person: Person) -> None:
    agent = await chat.agent(
        person.id, temperature=0.1, max_tokens=77, knowledge_base=[{"title": "Hours", "content": "9 to 5"}]
    )
    await chat.model.play()

    await ask(person, agent, "hi")

    body = chat.model.log.calls[0].body
    assert (body["temperature"], body["max_tokens"]) == (0.1, 77)
    assert "# Knowledge base\n\n## Hours\n9 to 5" in body["messages"][0]["content"]
    assert "tools" not in body


async def test_the_receipt_says_what_each_step_used(chat: ChatServer, person: Person) -> None:
    agent = await chat.agent(person.id, tools=["now"], price={"flat": 1, "per_1k_tokens": 1, "ceiling": 10})
    await chat.model.play(
        {"when": {"tool_results": 0}, "reply": {"tool_calls": [{"name": "now"}], "usage": usage(1500, 10)}},
        {"when": {"tool_results": 1}, "reply": {"text": "Noon.", "usage": usage(2000, 20)}},
    )

    done = (await ask(person, agent, "time?"))[-1]
    receipt = (await person.client.get(f"/api/runs/{done['runId']}/receipt")).json()

    assert done["creditsUsed"] == 1 + 4  # 3,530 tokens
    steps = {step["name"]: step["usage"] for step in receipt["steps"]}
    assert steps["turn-1"] == {"modelCalls": 1, "inputTokens": 1500, "outputTokens": 10}
    assert steps["turn-1.1 now"] == {"toolCalls": 1}
    assert steps["turn-2"] == {"modelCalls": 1, "inputTokens": 2000, "outputTokens": 20}


async def test_one_model_answers_the_whole_run(chat: ChatServer, person: Person) -> None:
    agent = await chat.agent(person.id, tools=["now"], ai_model=None)
    await chat.model.play(
        {"when": {"nth": 1}, "reply": {"tool_calls": [{"name": "now"}]}},
        {"when": {"nth": 2}, "reply": {"text": "Noon."}},
    )

    await ask(person, agent, "time?")

    assert [call.model for call in chat.model.log.calls] == ["google/gemini-2.5-flash"] * 2


async def test_what_a_model_refuses_with_stays_out_of_the_log(
    chat: ChatServer, person: Person, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = await chat.agent(person.id, config={"output_schema": SCHEMA})
    await chat.model.play({"reply": {"refusal": "canary-77 I will not."}})

    last = (await ask(person, agent, "Where?"))[-1]

    assert "canary-77" in last["error"]
    captured = capsys.readouterr()
    assert "canary-77" not in captured.out + captured.err


async def test_structured_output_is_corrected_and_answered(chat: ChatServer, person: Person) -> None:
    agent = await chat.agent(person.id, config={"output_schema": SCHEMA})
    await chat.model.play(
        {"when": {"nth": 1}, "reply": {"text": '{"town": "Rome"}'}},
        {"when": {"contains": "JSON Schema"}, "reply": {"text": '{"city": "Rome"}'}},
    )

    last = (await ask(person, agent, "Where?"))[-1]

    assert (last["type"], last["output"]) == ("done", {"city": "Rome"})
    assert chat.model.log.calls[0].body["response_format"]["json_schema"]["schema"] == SCHEMA


async def test_a_long_conversation_is_sent_without_its_oldest_messages(
    chat: ChatServer, person: Person
) -> None:
    agent = await chat.agent(person.id, max_tokens=100, config={"context_tokens": 400})
    turns = [{"role": "user", "content": f"{number} " + "x" * 300} for number in range(8)]
    await chat.model.play()

    await ask(person, agent, "", messages=[*turns, {"role": "user", "content": "and now?"}])

    sent = chat.model.log.calls[0].body["messages"]
    assert "left out" in sent[0]["content"]
    assert [each["content"][:1] for each in sent[1:]] == ["6", "7", "a"]


async def test_a_conversation_is_remembered(chat: ChatServer, person: Person) -> None:
    agent = await chat.agent(person.id)
    begun = (await person.client.post("/api/conversations", json={"agentId": str(agent)})).json()
    conversation = begun["conversationId"]
    await chat.model.play(
        {"when": {"contains": "my name is Ada"}, "reply": {"text": "Hello Ada."}},
        {"when": {"contains": "name?"}, "reply": {"text": "Ada."}},
    )

    await ask(person, agent, "my name is Ada", conversationId=conversation)
    await ask(person, agent, "what is my name?", conversationId=conversation)

    sent = [(each["role"], each["content"]) for each in chat.model.log.calls[1].body["messages"]]
    assert sent == [("user", "my name is Ada"), ("assistant", "Hello Ada."), ("user", "what is my name?")]
    stored = (await person.client.get(f"/api/conversations/{conversation}")).json()["messages"]
    assert [each["content"] for each in stored] == [
        "my name is Ada",
        "Hello Ada.",
        "what is my name?",
        "Ada.",
    ]


async def test_somebody_elses_conversation_is_unknown_and_nothing_is_held(
    chat: ChatServer, person: Person
) -> None:
    agent = await chat.agent(person.id)
    async with chat.server.person() as other:
        begun = (await other.client.post("/api/conversations", json={})).json()

    answer = await person.execute(agentId=str(agent), conversationId=begun["conversationId"])

    assert_problem(answer, 404, "conversation_not_found")
    assert (await person.client.get("/api/credits")).json()["held"] == 0


@pytest.mark.parametrize(
    "turns", [[], [{"role": "system", "content": "be"}], [{"role": "user", "content": "  "}]]
)
async def test_a_run_that_asks_nothing_is_refused(
    chat: ChatServer, person: Person, turns: list[Document]
) -> None:
    agent = await chat.agent(person.id)

    document = assert_problem(await person.execute(agentId=str(agent), messages=turns), 422, "invalid_body")

    assert document["errors"][0]["field"] == "messages"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"tools": ["teleport"]}, "teleport"),
        ({"tools": [{"type": "mcp", "name": "docs", "url": "https://mcp.example/mcp"}]}, "MCP_SERVERS"),
        ({"config": {"max_turns": 0}}, "max_turns"),
    ],
)
async def test_an_agent_whose_row_is_wrong_is_refused_before_anything_is_held(
    chat: ChatServer, person: Person, row: Document, says: str
) -> None:
    agent = await chat.agent(person.id, **row)

    document = assert_problem(await person.execute(agentId=str(agent)), 503, "not_configured")

    assert says in document["detail"]
    assert (await person.client.get("/api/credits")).json() | {"plan": ""} == {
        "available": 1000,
        "balance": 1000,
        "held": 0,
        "plan": "",
        "usedThisMonth": 0,
    }


async def test_without_a_key_a_chat_run_is_refused_before_anything_is_held(database_url: str) -> None:
    async with running_server(database_url) as server, server.person() as person:
        agent = await ChatServer(server, None).agent(person.id)  # type: ignore[arg-type] # asks no model

        document = assert_problem(await person.execute(agentId=str(agent)), 503, "not_configured")

        assert "OPENAI_API_KEY" in document["detail"]
        assert (await person.client.get("/api/credits")).json()["held"] == 0
        assert (await server.counts())["runs"] == 0


async def test_a_cancelled_run_leaves_the_provider_at_once_and_pays_for_what_it_had(
    chat: ChatServer, person: Person
) -> None:
    agent = await chat.agent(person.id, price={"flat": 1, "per_1k_tokens": 1, "ceiling": 9})
    await chat.model.play({"reply": {"text": "word " * 400, "between_s": 0.02}})
    answer = await person.execute(agentId=str(agent), headers={"Prefer": "respond-async"})
    run_id = answer.json()["runId"]

    await until(lambda: _has_text(person, run_id))
    await person.client.post(f"/api/runs/{run_id}/cancel")
    await chat.model.log.until_ended(1)
    run = await _ended(person, run_id)

    assert chat.model.log.calls[0].ended == "left"
    assert (run["status"], run["creditsUsed"]) == ("cancelled", 2)
    assert run["response"].startswith("word")


async def test_a_provider_that_fails_costs_nothing(chat: ChatServer, person: Person) -> None:
    agent = await chat.agent(person.id)
    await chat.model.play(
        {"reply": {"text": "half an answer that is cut", "fault": {"kind": "reset", "after": 0.5}}}
    )

    last = (await ask(person, agent, "hi"))[-1]

    assert (last["code"], last["creditsUsed"]) == ("model_unavailable", 0)
    assert "half".startswith(last["response"][:4])


async def test_what_the_provider_says_of_a_refused_request_is_not_passed_on(
    chat: ChatServer, person: Person
) -> None:
    agent = await chat.agent(person.id)
    error = {"message": "canary-93b1 in the error", "code": "context_length_exceeded"}
    await chat.model.play({"reply": {"fault": {"kind": "status", "status": 400, "error": {"error": error}}}})

    last = (await ask(person, agent, "hi"))[-1]

    assert last["code"] == "agent_error"
    assert "too long for the model" in last["error"]
    assert "canary" not in str(last)
    assert last["creditsUsed"] == 0


async def _has_text(person: Person, run_id: str) -> bool:
    page = await person.client.get(f"/api/runs/{run_id}/events", headers={"Accept": "application/json"})
    return any(event["type"] == "chunk" for event in page.json()["events"])


async def _ended(person: Person, run_id: str) -> Document:
    async with asyncio.timeout(10):
        while True:
            run: Document = (await person.client.get(f"/api/runs/{run_id}")).json()
            if run["status"] not in {"queued", "running"}:
                return run
            await asyncio.sleep(0.02)
