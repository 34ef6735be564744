"""Light agents over `/functions/v1/agent-runtime`: answered at once, charged once by the request's key."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from foundation.errors import Json
from tests.support.chat import ChatServer, usage
from tests.support.light import RUNTIME, ask_runtime, ledger, light_agent, money
from tests.support.server import METRICS_TOKEN, Person, TestServer, assert_problem, messages, until


@pytest.fixture(scope="module")
def server(chat: ChatServer) -> TestServer:
    return chat.server


async def test_a_light_agent_is_answered_at_once_and_charged(chat: ChatServer, person: Person) -> None:
    knowledge: Json = [{"title": "Hours", "content": "From nine."}]
    agent = await light_agent(chat, person.id, system_prompt="Be brief.", knowledge_base=knowledge)
    await chat.model.play({"reply": {"text": "At nine.", "usage": usage(20, 3)}})

    answer = await ask_runtime(person, agent, "When are you open?")

    document = answer.json()
    assert answer.status_code == 200, answer.text
    assert document.pop("executionTime") >= 0
    assert document == {
        "response": "At nine.",
        "creditsUsed": 1,
        "usage": {"modelCalls": 1, "inputTokens": 20, "outputTokens": 3},
        "agentId": str(agent),
        "status": "succeeded",
    }
    assert await ledger(chat.server, person) == [("hold", 0), ("settle", -1)]
    (asked,) = chat.model.log.calls
    assert asked.body["messages"] == [
        {"role": "system", "content": "Be brief.\n\n# Knowledge base\n\n## Hours\nFrom nine."},
        {"role": "user", "content": "When are you open?"},
    ]


@pytest.mark.parametrize("way", ["stream", "accept"])
async def test_a_stream_tells_the_events_of_a_run_without_a_run(
    chat: ChatServer, person: Person, way: str
) -> None:
    agent = await light_agent(chat, person.id)
    await chat.model.play({"reply": {"text": "one two", "chunk_tokens": 1, "usage": usage(2, 2)}})
    headers = {"accept": "text/event-stream"} if way == "accept" else {}

    answer = await ask_runtime(person, agent, headers=headers, stream=way == "stream")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("retry: 1000\n\n")
    told = messages(answer.text)
    assert [each["seq"] for each in told] == list(range(1, len(told) + 1))
    assert told[0] == {"type": "started", "seq": 1, "agentId": str(agent)}
    chunks = told[1:-1]
    assert {(each["type"], each["step"]) for each in chunks} == {("chunk", "turn-1")}
    assert "".join(each["content"] for each in chunks) == "one two"
    done = told[-1]
    assert done.pop("executionTime") >= 0
    assert done == {
        "type": "done",
        "seq": len(told),
        "response": "one two",
        "creditsUsed": 1,
        "usage": {"modelCalls": 1, "inputTokens": 2, "outputTokens": 2},
    }


async def test_an_answer_stands_in_the_figures_of_its_agent(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id)
    await chat.model.play()
    await ask_runtime(person, agent)

    figures = (await person.client.get(f"/api/agent/metrics/{agent}")).json()

    assert (figures["totalCalls"], figures["totalCredits"]) == (1, 1)
    (use,) = figures["recentUsage"]
    assert (use["operationType"], use["creditsUsed"], use["status"]) == ("agent_runtime", 1, "succeeded")


async def test_light_answers_are_counted_by_how_they_ended(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id)
    before = await _light_answers(person)
    await ask_runtime(person, agent)
    await chat.model.play({"reply": {"fault": {"kind": "status", "status": 400}}})
    await ask_runtime(person, agent)

    after = await _light_answers(person)
    assert {outcome: after[outcome] - before[outcome] for outcome in after} == {
        "answered": 1,
        "model_unavailable": 1,
    }


async def _light_answers(person: Person) -> Counter[str]:
    metrics = await person.client.get("/metrics", headers={"authorization": f"Bearer {METRICS_TOKEN}"})
    families = text_string_to_metric_families(metrics.text)
    [counted] = [each for each in families if each.name == "heavy_agent_light_answers"]
    ended = {each.labels["outcome"]: each.value for each in counted.samples if each.name.endswith("_total")}
    return Counter({outcome: int(value) for outcome, value in ended.items()})


async def test_a_key_answers_once(chat: ChatServer, person: Person) -> None:
    agent, headers = await light_agent(chat, person.id), {"idempotency-key": "order-1"}
    await chat.model.play()
    await ask_runtime(person, agent, headers=headers)

    again = await ask_runtime(person, agent, "something else", headers=headers)

    assert "use a new Idempotency-Key" in assert_problem(again, 422, "key_conflict")["detail"]
    assert len(chat.model.log.calls) == 1
    assert await money(chat.server, person) == (999, 0)


async def test_a_key_whose_answer_failed_is_answered_when_it_is_sent_again(
    chat: ChatServer, person: Person
) -> None:
    agent, headers = await light_agent(chat, person.id), {"idempotency-key": "order-1"}
    await chat.model.play(
        {"times": 1, "reply": {"fault": {"kind": "status", "status": 400}}}, {"reply": {"text": "fine"}}
    )

    failed, again, once_more = [await ask_runtime(person, agent, headers=headers) for _ in range(3)]

    assert_problem(failed, 503, "model_unavailable")
    assert (again.status_code, again.json()["creditsUsed"]) == (200, 1)
    assert "answered before" in assert_problem(once_more, 422, "key_conflict")["detail"]
    assert await ledger(chat.server, person) == [("hold", 0), ("release", 0), ("hold", 0), ("settle", -1)]


async def test_tokens_are_paid_for_up_to_the_ceiling(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id, price={"flat": 1, "per_1k_tokens": 2, "ceiling": 9})
    await chat.model.play(
        {"times": 1, "reply": {"text": "fine", "usage": usage(1000, 501)}},
        {"reply": {"text": "fine", "usage": usage(100_000, 1)}},
    )

    some, many = await ask_runtime(person, agent), await ask_runtime(person, agent)

    assert (some.json()["creditsUsed"], many.json()["creditsUsed"]) == (5, 9)
    assert {each.body["max_tokens"] for each in chat.model.log.calls} == {1000}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 401},
        {"kind": "status", "status": 400},
        {"kind": "status", "status": 404},
        {"kind": "reset", "after": 0.5},
    ],
)
async def test_what_the_provider_fails_at_is_released(chat: ChatServer, person: Person, fault: Json) -> None:
    agent = await light_agent(chat, person.id)
    await chat.model.play({"reply": {"text": "some words", "fault": fault}})  # type: ignore[typeddict-item]

    refused = await ask_runtime(person, agent)
    streamed = messages((await ask_runtime(person, agent, stream=True)).text)

    assert_problem(refused, 503, "model_unavailable")
    assert refused.headers["retry-after"] == "2"
    assert "secret" not in refused.text
    last = streamed[-1]
    assert (last["type"], last["code"], last["creditsUsed"]) == ("error", "model_unavailable", 0)
    assert await ledger(chat.server, person) == [("hold", 0), ("release", 0)] * 2


async def test_an_empty_answer_is_none(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id)
    await chat.model.play({"reply": {"text": ""}})

    answer = await ask_runtime(person, agent)

    assert "empty" in assert_problem(answer, 503, "model_unavailable")["detail"]
    assert await money(chat.server, person) == (1000, 0)


async def test_what_a_model_says_when_it_refuses_is_its_answer(chat: ChatServer, person: Person) -> None:
    agent = await light_agent(chat, person.id)
    await chat.model.play({"reply": {"text": "", "refusal": "I will not."}})

    answer = await ask_runtime(person, agent)

    assert (answer.json()["response"], answer.json()["creditsUsed"]) == ("I will not.", 1)


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_a_client_that_leaves_pays_for_the_whole_answer(
    chat: ChatServer, person: Person, *, is_streamed: bool
) -> None:
    agent = await light_agent(chat, person.id)
    await chat.model.play({"reply": {"text": "one two three", "chunk_tokens": 1, "between_s": 0.05}})
    body = person.body() | {"agentId": str(agent), "stream": is_streamed}

    async with chat.server.client(authorization=f"Bearer {person.token}") as client:
        request = client.build_request("POST", RUNTIME, json=body)
        asking = asyncio.create_task(client.send(request, stream=True))
        await chat.model.log.until_called(1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    async def is_settled() -> bool:
        return await money(chat.server, person) == (999, 0)

    await until(is_settled)
    assert [call.ended for call in chat.model.log.calls] == ["complete"]
