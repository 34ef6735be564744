"""What a collector gets to see of requests, runs, steps, models and tools; and what it never does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.support.chat import KEY, ChatServer, ask, chatting, usage
from tests.support.collector import PATH, Collector, Seen, serve_collector
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.model import Call, Rule
from tests.support.server import SERVICE_SECRET, Person, TestServer, running_server
from tests.support.sockets import connected

STRANGER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CANARY = "canary"


@pytest.fixture(scope="module")
async def collector() -> AsyncIterator[Collector]:
    async with serve_collector() as collector:
        yield collector


@pytest.fixture(scope="module")
async def chat(database_server: DatabaseServer, collector: Collector) -> AsyncIterator[ChatServer]:
    url = await fresh_database(database_server)
    secret = {"otel_exporter_otlp_headers": "x-team=the-collectors-key"}
    async with chatting(url, **collector.settings, **secret) as running:
        yield running
    await drop(database_server, url)


@pytest.fixture
def server(chat: ChatServer) -> TestServer:
    return chat.server


WEATHER: list[Rule] = [
    {
        "when": {"role": "user"},
        "reply": {
            "text": f"{CANARY} said",
            "tool_calls": [{"name": "now", "arguments": {"timezone": "Asia/Kolkata"}}],
            "usage": usage(30, 7),
        },
    },
    {"when": {"tool_results": 1}, "reply": {"text": f"{CANARY} answered", "usage": usage(50, 9)}},
]


async def test_a_chat_run_is_one_tree_from_the_request_to_the_tool(
    chat: ChatServer, person: Person, collector: Collector
) -> None:
    await chat.model.play(*WEATHER)
    agent_id = await chat.agent(person.id, tools=["now"], ai_model="gpt-x", temperature=0.5)

    last = (await ask(person, agent_id, f"{CANARY} asked"))[-1]

    spans = await collector.trace_of(last["runId"])
    assert tree(spans) == [
        "POST /api/agent/execute",
        "  run.submit",
        "    run.execute",
        "      step turn-1",
        "        model gpt-x",
        "      step turn-1.1",
        "        tool now",
        "      step turn-2",
        "        model gpt-x",
    ]
    assert {span.failed for span in spans} == {None}
    assert {span.resource["service.name"] for span in spans} == {"switchyard"}


async def test_the_spans_say_what_kind_of_work_it_was_and_what_it_used(
    chat: ChatServer, person: Person, collector: Collector
) -> None:
    await chat.model.play(*WEATHER)
    agent_id = await chat.agent(person.id, tools=["now"], ai_model="gpt-x", temperature=0.5, max_tokens=200)

    run_id = (await ask(person, agent_id, "hello"))[-1]["runId"]

    spans = {span.name: span for span in await collector.trace_of(run_id)}
    request, execution = spans["POST /api/agent/execute"], spans["run.execute"]
    assert request.kind == "server"
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/agent/execute",
        "http.response.status_code": 200,
    }
    assert execution.attributes["switchyard.run.id"] == run_id
    assert execution.attributes["switchyard.agent.kind"] == "chat"
    assert execution.attributes["switchyard.run.epoch"] == 1
    assert execution.attributes["switchyard.run.status"] == "succeeded"
    model, tool = spans["model gpt-x"], spans["tool now"]
    assert model.kind == "client"
    assert [name for name, _ in model.events] == ["first_token"]
    assert model.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.request.max_tokens": 200,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 50,
        "gen_ai.usage.output_tokens": 9,
        "switchyard.usage.is_estimated": False,
    }
    assert tool.attributes == {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "now"}


async def test_nothing_a_user_a_model_or_a_header_says_is_in_a_span(
    chat: ChatServer, person: Person, collector: Collector
) -> None:
    calls: list[Call] = [
        {"name": "now", "arguments": {"timezone": f"{CANARY}/argument"}},
        {"name": f"{CANARY}_tool", "arguments": {}},
    ]
    await chat.model.play(
        {"when": {"role": "user"}, "reply": {"text": f"{CANARY} 1", "tool_calls": calls}},
        {"reply": {"text": f"{CANARY} 2"}},
    )
    agent_id = await chat.agent(person.id, tools=["now"], name=f"{CANARY} agent", system_prompt=CANARY)
    person.client.headers |= {"user-agent": CANARY, "x-request-id": CANARY, "tracestate": f"a={CANARY}"}

    last = (await ask(person, agent_id, f"{CANARY} asked", metadata={"note": CANARY}))[-1]
    await person.client.get(f"/api/runs/{last['runId']}/events?after=0&{CANARY}=1&token={CANARY}")
    await person.client.get(f"/{CANARY}?{CANARY}")
    await person.client.request("PROPFIND", f"/{CANARY}")

    spans = await collector.trace_of(last["runId"])
    await collector.until(lambda _: len(collector.named("other unmatched")) >= 1)
    assert "tool unknown" in {span.name for span in spans}
    assert CANARY.encode() not in collector.bodies.lower()
    for secret in (person.token, KEY, SERVICE_SECRET, str(person.id), "the-collectors-key"):
        assert secret.encode() not in collector.bodies
    assert {asked.headers["x-team"] for asked in collector.web.asked_for(PATH)} == {"the-collectors-key"}


async def test_the_span_of_a_stream_ends_with_its_first_byte(
    chat: ChatServer, person: Person, collector: Collector
) -> None:
    await chat.model.play({"reply": {"text": "late", "before_first_s": 2}})
    agent_id = await chat.agent(person.id)

    run_id = (await ask(person, agent_id, "hello"))[-1]["runId"]

    spans = {span.name: span for span in await collector.trace_of(run_id)}
    assert spans["POST /api/agent/execute"].lasted_s < 2 <= spans["run.execute"].lasted_s


async def test_a_failed_model_fails_the_spans_above_it_by_its_code(
    chat: ChatServer, person: Person, collector: Collector
) -> None:
    await chat.model.play({"reply": {"fault": {"kind": "end", "after": 0.0}}})
    agent_id = await chat.agent(person.id, ai_model="gpt-broken")

    run_id = (await ask(person, agent_id, "hello"))[-1]["runId"]

    spans = {span.name: span for span in await collector.trace_of(run_id)}
    failed = {name: span.failed for name, span in spans.items() if span.failed is not None}
    assert failed == {
        "model gpt-broken": "model_unavailable",
        "step turn-1": "model_unavailable",
        "run.execute": "model_unavailable",
    }
    assert [name for name, _ in spans["model gpt-broken"].events] == ["retry", "retry"]


async def test_a_refused_request_says_its_code_and_is_no_failure_of_ours(
    server: TestServer, collector: Collector
) -> None:
    async with server.client() as stranger:
        await stranger.get("/api/credits")
        await stranger.get("/health/readiness")

    spans = await collector.until(lambda _: collector.named("GET /api/credits") != [])
    (refused,) = (span for span in spans if span.name == "GET /api/credits")
    assert refused.failed is None
    assert refused.attributes["error.type"] == "invalid_token"
    assert refused.attributes["http.response.status_code"] == 401
    assert not any("health" in span.name for span in spans)


async def test_a_callers_trace_goes_on_here(chat: ChatServer, person: Person, collector: Collector) -> None:
    person.client.headers["traceparent"] = STRANGER

    run_id = await person.ended({"chunks": ["a"]})

    names = {"POST /api/agent/execute", "run.execute"}
    await collector.until(
        lambda spans: names <= {span.name for span in spans if span.trace_id == STRANGER[3:35]}
    )
    (request,) = collector.named_in(STRANGER[3:35], "POST /api/agent/execute")
    (execution,) = collector.named_in(STRANGER[3:35], "run.execute")
    assert request.parent_id == STRANGER[36:52]
    assert execution.attributes["switchyard.run.id"] == run_id


async def test_a_run_of_an_agent_seen_before_is_traced_without_asking_for_the_agent(
    database_url: str, collector: Collector
) -> None:
    async with running_server(database_url, **collector.settings) as server, server.person() as person:
        traces = [await stored_trace(server, await person.ended())]
        # From here on nobody can read an agent's row first.
        await server.sql.execute("alter function public.switchyard_agents_get rename to nobody_calls_this")

        run_id = await person.ended()

        traces.append(await stored_trace(server, run_id))
        spans = await collector.trace_of(run_id)
    assert tree(spans) == ["POST /api/agent/execute", "  run.submit", "    run.execute", "      step say"]
    assert {span.trace_id for span in spans} == {traces[1]}
    assert traces[0] != traces[1]


async def stored_trace(server: TestServer, run_id: str) -> str:
    """The number of the trace that is kept with a run."""
    query = "select agent ->> 'traceparent' from switchyard.runs where id = $1::text::uuid"
    return str(await server.sql.fetchval(query, run_id)).split("-")[1]


async def test_messages_about_runs_have_a_span_each_and_the_socket_none(
    server: TestServer, person: Person, collector: Collector
) -> None:
    async with connected(server, person) as client:
        await client.execute(person, {"chunks": ["a"]})
        await client.say("ping")
        run_id = (await client.hear_to_end())[-1]["runId"]

    spans = await collector.trace_of(run_id)
    assert tree(spans) == ["socket agent_execute", "  run.submit", "    run.execute", "      step say"]
    assert "socket ping" not in {span.name for span in collector.spans}


@pytest.mark.parametrize(
    ("kept", "recorded"), [(0.0, {"service"}), (1.0, {"nobody", "service"})], ids=["none", "all"]
)
async def test_a_share_of_traces_is_kept_and_no_stranger_can_buy_one(
    database_url: str, collector: Collector, kept: float, recorded: set[str]
) -> None:
    """What the service wants recorded is; anybody may keep out of the traces."""
    service = {"x-railway-secret": SERVICE_SECRET}
    traces = {name: uuid4().hex for name in ("nobody", "quiet", "no_more", "service")}
    async with running_server(database_url, **collector.settings, otel_traces_sampler_arg=kept) as server:
        await get(server, traceparent=f"00-{traces['nobody']}-b7ad6b7169203331-01")
        await get(server, traceparent=f"00-{traces['quiet']}-b7ad6b7169203331-00", **service)
        await get(server, traceparent=f"00-{traces['no_more']}-b7ad6b7169203331-00")
        await get(server, traceparent=f"00-{traces['service']}-b7ad6b7169203331-01", **service)
        await collector.until(lambda spans: traces["service"] in {span.trace_id for span in spans})

    arrived = {span.trace_id for span in collector.spans}
    assert {name for name, trace_id in traces.items() if trace_id in arrived} == recorded


async def get(server: TestServer, **headers: str) -> None:
    async with server.client(**headers) as client:
        await client.get("/api/credits")


def tree(spans: list[Seen]) -> list[str]:
    """The names, children below their parents, in the order of their names."""

    def below(parent_id: str, depth: int) -> list[str]:
        children = [span for span in spans if span.parent_id == parent_id]
        return [
            line
            for child in sorted(
                children, key=lambda span: span.name.replace("step", "a").replace("tool", "b")
            )
            for line in ("  " * depth + child.name, *below(child.span_id, depth + 1))
        ]

    return below("", 0)
