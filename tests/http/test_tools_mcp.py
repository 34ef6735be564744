from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from starlette.types import Send

from foundation.errors import Json, NotConfigured
from foundation.outbound import Outbound
from heavy_agents.tools.mcp import McpLimits, McpServers
from heavy_agents.tools.tool import BadArguments, Call, Tool, ToolFailed
from tests.support.mcp_server import (
    LISTED,
    Generation,
    McpHost,
    Script,
    answer,
    offering,
    serve_mcp,
    serve_script,
    stream,
)

CALL = Call(key="run:1:call:1", spend=lambda _: None)
TOKEN = "Bearer very-secret-token"
USUAL = McpLimits()
# Where an answer is waited for in vain; a busy machine takes a second for one that comes.
SHORT = McpLimits(connect_s=3.0, call_s=3.0)
GENERATIONS = pytest.mark.parametrize("generation", ["modern", "legacy"])


class Memory:
    """Does the work once per name, as a run's journal does."""

    def __init__(self) -> None:
        self.kept: dict[str, Json] = {}

    async def __call__(self, name: str, work: Callable[[], Awaitable[Json]]) -> Json:
        if name not in self.kept:
            self.kept[name] = await work()
        return self.kept[name]


@pytest.fixture(scope="module")
async def modern() -> AsyncIterator[McpHost]:
    async with serve_mcp("modern") as host:
        yield host


@pytest.fixture(scope="module")
async def legacy() -> AsyncIterator[McpHost]:
    async with serve_mcp("legacy") as host:
        yield host


@pytest.fixture
def host(generation: Generation, modern: McpHost, legacy: McpHost) -> McpHost:
    """The server of that generation, as if nobody had talked to it yet."""
    host = modern if generation == "modern" else legacy
    host.seen.clear()
    host.cancelled.clear()
    return host


@asynccontextmanager
async def opened(
    host: McpHost,
    outbound: Outbound,
    *,
    memory: Memory | None = None,
    limits: McpLimits = USUAL,
    **entry: Json,
) -> AsyncIterator[Mapping[str, Tool]]:
    """The host's tools by the server's names."""
    servers = McpServers(outbound=outbound, allowed=[host.origin], limits=limits)
    row: dict[str, Json] = {"type": "mcp", "name": "test", "url": host.url, **entry}
    async with servers.open([row], remember=memory or Memory()) as tools:
        yield {tool.name.removeprefix("test__"): tool for tool in tools}


def tool(name: str, **schema: Json) -> dict[str, Any]:
    return {"name": name, "description": name, "inputSchema": {"type": "object", **schema}}


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.01)


def tasks_since(before: Iterable[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - set(before)


# --- what works


@GENERATIONS
async def test_a_servers_tools_are_listed_and_called(host: McpHost, outbound: Outbound) -> None:
    async with opened(host, outbound) as tools:
        assert tools["add"].description == "Add two numbers."
        assert tools["add"].parameters["required"] == ["a", "b"]
        assert await tools["add"].call({"a": 1, "b": 2}, CALL) == {"total": 3}
        assert await tools["echo"].call({"text": "hé"}, CALL) == "hé"


@pytest.mark.parametrize(
    ("generation", "opening", "versions"),
    [
        ("modern", ["server/discover", "tools/list"], {"2026-07-28"}),
        (
            "legacy",
            ["server/discover", "initialize", "notifications/initialized", "tools/list"],
            {"2026-07-28", None, "2025-11-25"},
        ),
    ],
)
async def test_each_generation_is_spoken_to_in_its_own_way(
    host: McpHost, outbound: Outbound, opening: list[str], versions: set[str | None]
) -> None:
    async with opened(host, outbound):
        pass

    posted = [each for each in host.seen if each.verb == "POST"]
    assert [each.method for each in posted] == opening
    assert {each.headers.get("mcp-protocol-version") for each in posted} == versions


async def test_a_stateful_server_sees_one_session_that_is_ended(legacy: McpHost, outbound: Outbound) -> None:
    legacy.seen.clear()

    async with opened(legacy, outbound) as tools:
        counts = [await tools["count"].call({}, CALL) for _ in range(3)]

    assert counts == ["1", "2", "3"]
    assert len(legacy.of("initialize")) == 1
    assert legacy.seen[-1].verb == "DELETE"
    assert not [each for each in legacy.seen if each.verb == "GET"]


@GENERATIONS
async def test_a_remembered_list_needs_no_connection_until_a_call(host: McpHost, outbound: Outbound) -> None:
    memory = Memory()
    async with opened(host, outbound, memory=memory) as tools:
        first = list(tools)
    host.seen.clear()

    async with opened(host, outbound, memory=memory) as tools:
        again, asked = list(tools), list(host.seen)
        result = await tools["echo"].call({"text": "hi"}, CALL)

    assert (again, asked, result) == (first, [], "hi")
    assert host.of("tools/list") == []


async def test_json_answers_are_read_too(outbound: Outbound) -> None:
    async with serve_mcp("legacy", json_response=True) as host, opened(host, outbound) as tools:
        assert await tools["add"].call({"a": 1, "b": 2}, CALL) == {"total": 3}


async def test_only_allowed_tools_are_there(modern: McpHost, outbound: Outbound) -> None:
    async with opened(modern, outbound, allow=["echo", "add"]) as tools:
        assert list(tools) == ["add", "echo"]


async def test_an_allowed_tool_that_is_missing_is_named(modern: McpHost, outbound: Outbound) -> None:
    with pytest.raises(ToolFailed, match="has no tool 'forecast'"):
        async with opened(modern, outbound, allow=["echo", "forecast"]):
            pass


@GENERATIONS
async def test_the_call_carries_its_key_and_the_entrys_headers(host: McpHost, outbound: Outbound) -> None:
    async with opened(host, outbound, headers={"Authorization": TOKEN, "X-Team": "blue"}) as tools:
        assert await tools["key"].call({}, CALL) == CALL.key
        assert await tools["header"].call({"name": "x-team"}, CALL) == "blue"

    assert {each.headers.get("authorization") for each in host.seen} == {TOKEN}


async def test_a_server_that_repeats_a_secret_is_blotted_out(modern: McpHost, outbound: Outbound) -> None:
    async with opened(modern, outbound, headers={"Authorization": TOKEN}) as tools:
        assert await tools["header"].call({"name": "authorization"}, CALL) == "[hidden]"


async def test_wrong_arguments_are_not_sent(modern: McpHost, outbound: Outbound) -> None:
    modern.seen.clear()

    async with opened(modern, outbound) as tools:
        with pytest.raises(BadArguments, match=r"a:.*integer.*b.*required"):
            await tools["add"].call({"a": "one"}, CALL)

    assert modern.of("tools/call") == []


@GENERATIONS
async def test_an_error_of_the_tool_is_told_in_its_own_words(host: McpHost, outbound: Outbound) -> None:
    async with opened(host, outbound) as tools:
        with pytest.raises(ToolFailed, match="the moon is in the wrong house"):
            await tools["fail"].call({}, CALL)


async def test_a_picture_becomes_a_line(modern: McpHost, outbound: Outbound) -> None:
    async with opened(modern, outbound) as tools:
        assert await tools["picture"].call({}, CALL) == "[image: image/png, 19 bytes, not shown]"


@GENERATIONS
async def test_a_question_to_the_person_is_not_offered(host: McpHost, outbound: Outbound) -> None:
    async with opened(host, outbound) as tools:
        with pytest.raises(ToolFailed, match="not offered here"):
            await tools["ask"].call({}, CALL)
        assert await tools["echo"].call({"text": "still there"}, CALL) == "still there"


async def test_a_lost_session_is_opened_again_and_the_call_sent_once_more(
    legacy: McpHost, outbound: Outbound
) -> None:
    legacy.seen.clear()

    async with opened(legacy, outbound) as tools:
        await tools["count"].call({}, CALL)
        legacy.forgets = True
        count = await tools["count"].call({}, CALL)

    assert count == "1"
    assert len(legacy.of("initialize")) == 2
    assert len(legacy.of("tools/call")) == 3


async def test_at_most_eight_calls_are_made_at_once(outbound: Outbound) -> None:
    going_on, most = 0, 0
    eight = asyncio.Event()

    async def on_call(message: dict[str, Any], send: Send) -> None:
        nonlocal going_on, most
        going_on += 1
        most = max(most, going_on)
        if going_on == 8:
            eight.set()
        await eight.wait()
        await asyncio.sleep(0.02)  # a ninth would come meanwhile
        going_on -= 1
        await answer(send, message, result={"resultType": "complete", "content": []})

    limits = McpLimits(call_s=5)
    script = offering(tool("go"), on_call=on_call)
    async with serve_script(script) as host, opened(host, outbound, limits=limits) as tools:
        await asyncio.gather(*(tools["go"].call({}, CALL) for _ in range(20)))

    assert most == 8


async def test_a_server_that_wants_a_listing_first_gets_it(outbound: Outbound) -> None:
    """Headers made from arguments are known from the list, which a run that goes on has not asked for."""
    listed = tool("go", properties={"region": {"type": "string", "x-mcp-header": "Region"}})

    async def on_call(message: dict[str, Any], send: Send) -> None:
        if served.seen[-1].headers.get("mcp-param-region") != "eu":
            await answer(send, message, status=400, error={"code": -32020, "message": "header missing"})
        else:
            content = [{"type": "text", "text": "here"}]
            await answer(send, message, result={"resultType": "complete", "content": content})

    memory = Memory()
    async with serve_script(offering(listed, on_call=on_call)) as served:
        async with opened(served, outbound, memory=memory):
            pass
        async with opened(served, outbound, memory=memory) as tools:
            assert await tools["go"].call({"region": "eu"}, CALL) == "here"


async def test_a_tool_with_an_odd_name_is_called_by_it(outbound: Outbound) -> None:
    async def on_call(message: dict[str, Any], send: Send) -> None:
        content = [{"type": "text", "text": message["params"]["name"]}]
        await answer(send, message, result={"resultType": "complete", "content": content})

    odd = "two\nlines: ä"
    async with (
        serve_script(offering(tool(odd), on_call=on_call)) as served,
        opened(served, outbound) as tools,
    ):
        assert await tools["two_lines___"].call({}, CALL) == odd


# --- how it ends


@GENERATIONS
async def test_a_cancelled_call_stops_the_servers_work_and_leaves_nothing(
    host: McpHost, outbound: Outbound
) -> None:
    async with opened(host, outbound) as tools:
        await tools["echo"].call({"text": "warm"}, CALL)
    before = asyncio.all_tasks()

    async with opened(host, outbound) as tools:
        waiting = asyncio.create_task(_call(tools["wait"], {"seconds": 30}))
        await until(lambda: len(host.of("tools/call")) == 2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: host.cancelled == ["wait"])
        assert await tools["echo"].call({"text": "next"}, CALL) == "next"

    await until(lambda: host.open_requests == 0)
    await until(lambda: not tasks_since(before))


@GENERATIONS
async def test_a_cancelled_run_ends_its_session(host: McpHost, outbound: Outbound) -> None:
    async def run() -> None:
        async with opened(host, outbound) as tools:
            await asyncio.gather(*(tools["wait"].call({"seconds": 30}, CALL) for _ in range(4)))

    async with opened(host, outbound) as tools:
        await tools["echo"].call({"text": "warm"}, CALL)
    before = asyncio.all_tasks()

    running = asyncio.create_task(run())
    await until(lambda: len(host.of("tools/call")) == 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    await until(lambda: host.open_requests == 0)
    await until(lambda: not tasks_since(before))


async def test_a_slow_call_fails_and_the_session_goes_on(legacy: McpHost, outbound: Outbound) -> None:
    limits = McpLimits(connect_s=5, call_s=3)

    async with opened(legacy, outbound, limits=limits) as tools:
        with pytest.raises(ToolFailed, match="did not answer within 3 s"):
            await tools["wait"].call({"seconds": 30}, CALL)
        assert await tools["echo"].call({"text": "hi"}, CALL) == "hi"


async def test_nothing_can_be_called_after_the_end(modern: McpHost, outbound: Outbound) -> None:
    async with opened(modern, outbound) as tools:
        pass

    with pytest.raises(ToolFailed, match="the run is over"):
        await tools["echo"].call({"text": "hi"}, CALL)


async def test_a_session_with_a_silent_server_ends_all_the_same(outbound: Outbound) -> None:
    silent = asyncio.Event()

    async with serve_script(_silent_after_listing(silent)) as host:

        async def run() -> None:
            limits = McpLimits(call_s=30)
            async with opened(host, outbound, limits=limits) as tools, asyncio.TaskGroup() as calls:
                for _ in range(8):
                    calls.create_task(_call(tools["go"], {}))

        before = asyncio.all_tasks()
        running = asyncio.create_task(run())
        await until(lambda: len(host.of("tools/call")) == 8)
        running.cancel()
        async with asyncio.timeout(2):  # twice what is promised
            await asyncio.wait([running])
        assert running.cancelled()

        assert len(host.of("notifications/cancelled")) == 8
        assert not [task for task in tasks_since(before) if task.get_name().startswith("mcp.")]
        silent.set()
        await until(lambda: host.open_requests == 0)


async def test_silent_servers_are_left_together_and_nothing_remains(outbound: Outbound) -> None:
    silent = asyncio.Event()

    async with AsyncExitStack() as serving:
        script = _silent_after_listing(silent)
        hosts = [await serving.enter_async_context(serve_script(script)) for _ in range(8)]
        before = asyncio.all_tasks()

        leave = asyncio.Event()
        running = asyncio.create_task(_stay_until(leave, hosts, outbound))
        await until(lambda: all(host.of("tools/list") for host in hosts))
        leave.set()
        async with asyncio.timeout(2):  # twice what is promised
            await running

        assert [host.seen[-1].verb for host in hosts] == ["DELETE"] * 8
        assert not [task for task in tasks_since(before) if "mcp." in task.get_name()]
        silent.set()
        await until(lambda: all(host.open_requests == 0 for host in hosts))


async def test_a_farewell_that_is_cancelled_leaves_nothing(outbound: Outbound) -> None:
    silent = asyncio.Event()

    async with serve_script(_silent_after_listing(silent)) as host:
        before = asyncio.all_tasks()
        leave = asyncio.Event()
        running = asyncio.create_task(_stay_until(leave, [host], outbound))
        await until(lambda: len(host.of("tools/list")) == 1)
        leave.set()
        await until(lambda: host.seen[-1].verb == "DELETE")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert not [task for task in tasks_since(before) if "mcp." in task.get_name()]
        silent.set()


# --- servers that are not well


async def test_a_huge_answer_fails_the_call(outbound: Outbound) -> None:
    async def on_call(message: dict[str, Any], send: Send) -> None:
        content = [{"type": "text", "text": "x" * 10_000_000}]
        await answer(send, message, result={"resultType": "complete", "content": content})

    await _fails(on_call, outbound, saying="answers with more than 2048 kB")


async def test_a_huge_streamed_answer_fails_the_call(outbound: Outbound) -> None:
    async def on_call(message: dict[str, Any], send: Send) -> None:
        event = await stream(send)
        content = [{"type": "text", "text": "x" * 10_000_000}]
        await event({"jsonrpc": "2.0", "id": message["id"], "result": {"content": content}})

    await _fails(on_call, outbound, saying="too large or cannot be read")


async def test_a_large_result_fails_the_call(outbound: Outbound) -> None:
    async def on_call(message: dict[str, Any], send: Send) -> None:
        content = [{"type": "text", "text": "x" * 300_000}]
        await answer(send, message, result={"resultType": "complete", "content": content})

    await _fails(on_call, outbound, saying="larger than 256 kB")


async def test_an_endless_stream_fails_the_call(outbound: Outbound) -> None:
    async def on_call(message: dict[str, Any], send: Send) -> None:
        event = await stream(send)
        for _ in range(100_000):
            await event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info"}})

    await _fails(on_call, outbound, saying="did not answer within|broke off", limits=SHORT)


async def test_a_stream_that_breaks_off_for_ever_is_not_resumed_for_ever(outbound: Outbound) -> None:
    async def on_call(message: dict[str, Any], send: Send) -> None:
        lines = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": lines})
        await send({"type": "http.response.body", "body": b"id: 1\nretry: 0\ndata:\n\n"})

    host = await _fails(on_call, outbound, saying="did not answer within|broke off", limits=SHORT)

    assert len([each for each in host.seen if each.verb == "GET"]) < 30


async def test_garbage_fails_the_call(outbound: Outbound) -> None:
    async def on_call(message: dict[str, Any], send: Send) -> None:
        lines = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": lines})
        await send({"type": "http.response.body", "body": b"{]"})

    await _fails(on_call, outbound, saying="cannot be read")


async def test_an_answer_of_another_shape_fails_the_call(outbound: Outbound) -> None:
    async def on_call(message: dict[str, Any], send: Send) -> None:
        await answer(send, message, result={"resultType": "complete", "content": "no list"})

    await _fails(on_call, outbound, saying="does not keep to the protocol")


async def test_a_server_that_dies_in_a_call_fails_just_that_call(outbound: Outbound) -> None:
    async def on_call(message: dict[str, Any], send: Send) -> None:
        if message["params"]["name"] == "go":
            await stream(send)
            raise ConnectionAbortedError
        await answer(send, message, result={"resultType": "complete", "content": []})

    async with (
        serve_script(offering(tool("go"), tool("stay"), on_call=on_call)) as host,
        opened(host, outbound) as tools,
    ):
        with pytest.raises(ToolFailed, match="broke off"):
            await tools["go"].call({}, CALL)
        assert await tools["stay"].call({}, CALL) == ""


async def test_a_server_that_is_gone_fails_the_call_and_says_so(outbound: Outbound) -> None:
    memory = Memory()
    async with serve_mcp("modern") as host, opened(host, outbound, memory=memory):
        pass

    async with opened(host, outbound, memory=memory) as tools:
        for _ in range(2):
            with pytest.raises(ToolFailed, match="could not be reached"):
                await tools["echo"].call({"text": "hi"}, CALL)


async def test_a_server_that_says_nothing_cannot_be_opened(outbound: Outbound) -> None:
    silent = asyncio.Event()

    async def script(message: dict[str, Any], send: Send) -> None:
        await silent.wait()

    async with serve_script(script) as host:
        with pytest.raises(ToolFailed, match="did not answer"):
            async with opened(host, outbound, limits=McpLimits(connect_s=0.2, call_s=5)):
                pass
        silent.set()


async def test_a_server_that_forgets_every_session_is_tried_twice(outbound: Outbound) -> None:
    async with serve_mcp("legacy") as host:
        memory = Memory()
        async with opened(host, outbound, memory=memory):
            pass
        host.seen.clear()

        async with opened(host, outbound, memory=memory) as tools:
            host.always_forgets = True
            with pytest.raises(ToolFailed, match="does not keep its sessions"):
                await tools["echo"].call({"text": "hi"}, CALL)

    assert len(host.of("initialize")) == 2


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_a_refusal_by_status_is_told(outbound: Outbound, status: int) -> None:
    async def script(message: dict[str, Any], send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    async with serve_script(script) as host:
        with pytest.raises(ToolFailed, match=f"test answers with HTTP status {status}"):
            async with opened(host, outbound, headers={"Authorization": TOKEN}):
                pass


async def test_an_error_that_repeats_a_secret_is_blotted_out(outbound: Outbound) -> None:
    async def on_call(message: dict[str, Any], send: Send) -> None:
        await answer(send, message, status=400, error={"code": 7, "message": f"bad\x00 token {TOKEN}"})

    async with (
        serve_script(offering(tool("go"), on_call=on_call)) as host,
        opened(host, outbound, headers={"Authorization": TOKEN}) as tools,
    ):
        with pytest.raises(ToolFailed) as failed:
            await tools["go"].call({}, CALL)

    assert failed.value.message == "the MCP server test refused: bad  token [hidden]"


@pytest.mark.parametrize("status", [302, 307, 308])
async def test_a_redirect_to_another_place_is_not_followed(
    outbound: Outbound, modern: McpHost, status: int
) -> None:
    modern.seen.clear()

    async def on_call(message: dict[str, Any], send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"location", modern.url.encode())]}
        )
        await send({"type": "http.response.body", "body": b""})

    await _fails(on_call, outbound, saying="redirects elsewhere")

    assert modern.seen == []


async def test_any_public_server_does_not_mean_a_private_one(outbound: Outbound) -> None:
    servers = McpServers(outbound=outbound, allowed=["*"])
    for url in ("https://127.0.0.1/mcp", "https://localhost/mcp", "https://169.254.169.254/mcp"):
        with pytest.raises(ToolFailed, match="could not be asked"):
            async with servers.open([{"type": "mcp", "name": "x", "url": url}], remember=Memory()):
                pass


async def test_a_server_the_operator_no_longer_names_is_not_opened(
    outbound: Outbound, modern: McpHost
) -> None:
    with pytest.raises(NotConfigured, match="MCP_SERVERS"):
        McpServers(outbound=outbound, allowed=[]).open(
            [{"type": "mcp", "name": "x", "url": modern.url}], remember=Memory()
        )


async def test_a_thousand_tools_are_cut_to_those_taken(outbound: Outbound) -> None:
    script = offering(*(tool(f"t{n}") for n in range(1000)), on_call=_never)

    async with serve_script(script) as host, opened(host, outbound) as tools:
        assert list(tools) == [f"t{n}" for n in range(64)]


async def test_a_list_without_end_is_left_in_the_middle(outbound: Outbound) -> None:
    pages = 0

    async def on_list(message: dict[str, Any], send: Send) -> None:
        nonlocal pages
        pages += 1
        page = {"tools": [tool(f"t{pages}")], "nextCursor": f"p{pages}"}
        await answer(send, message, result=LISTED | page)

    async with serve_script(_listing(on_list)) as host, opened(host, outbound) as tools:
        assert len(tools) == pages == 16


async def test_schemas_that_cannot_be_used_leave_their_tools_out(outbound: Outbound) -> None:
    listed = [
        tool("remote", properties={"a": {"$ref": "http://127.0.0.1:1/schema"}}),
        tool("large", description="x" * 70_000),
        tool("many", properties={f"a{n}": {} for n in range(1_500)}),
        tool("good"),
    ]

    async with serve_script(offering(*listed, on_call=_never)) as host, opened(host, outbound) as tools:
        assert list(tools) == ["good"]


async def test_a_schema_that_is_not_valid_fails_the_call_of_its_tool(outbound: Outbound) -> None:
    wrong = tool("wrong", properties={"a": {"type": "nothing"}})

    async with serve_script(offering(wrong, on_call=_never)) as host, opened(host, outbound) as tools:
        with pytest.raises(ToolFailed, match="its schema cannot be used"):
            await tools["wrong"].call({}, CALL)


async def test_a_list_longer_than_a_megabyte_is_left_in_the_middle(outbound: Outbound) -> None:
    """Reading it holds the event loop, whichever of its tools are taken."""
    pages = 0

    async def on_list(message: dict[str, Any], send: Send) -> None:
        nonlocal pages
        pages += 1
        page = {"tools": [tool(f"t{pages}", description="x" * 300_000)], "nextCursor": f"p{pages}"}
        await answer(send, message, result=LISTED | page)

    async with serve_script(_listing(on_list)) as host, opened(host, outbound):
        assert pages == 4


async def test_one_page_longer_than_a_megabyte_is_not_read(outbound: Outbound) -> None:
    huge = tool("huge", description="x" * 1_100_000)

    async with serve_script(offering(huge, on_call=_never)) as host:
        with pytest.raises(ToolFailed, match="answers with more than 1024 kB"):
            async with opened(host, outbound):
                pass


async def test_a_server_that_does_not_list_its_tools_in_time_cannot_be_opened(outbound: Outbound) -> None:
    silent = asyncio.Event()

    async def on_list(message: dict[str, Any], send: Send) -> None:
        await silent.wait()

    async with serve_script(_listing(on_list)) as host:
        with pytest.raises(ToolFailed, match=r"did not list its tools within 0\.2 s"):
            async with opened(host, outbound, limits=McpLimits(listing_s=0.2)):
                pass
        silent.set()


async def test_servers_are_listed_at_the_same_time(outbound: Outbound) -> None:
    asked, everybody = 0, asyncio.Event()

    async def on_list(message: dict[str, Any], send: Send) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            everybody.set()
        await everybody.wait()
        await answer(send, message, result=LISTED | {"tools": [tool("go")]})

    async with AsyncExitStack() as serving:
        hosts = [await serving.enter_async_context(serve_script(_listing(on_list))) for _ in range(3)]
        servers = McpServers(outbound=outbound, allowed=[host.origin for host in hosts])
        async with servers.open(_rows(hosts), remember=Memory()) as tools:
            assert [each.name for each in tools] == ["s0__go", "s1__go", "s2__go"]


async def test_one_server_that_cannot_be_listed_ends_the_listing_of_the_others(outbound: Outbound) -> None:
    silent = asyncio.Event()

    async def never(message: dict[str, Any], send: Send) -> None:
        await silent.wait()

    async def refused(message: dict[str, Any], send: Send) -> None:
        await until(lambda: len(waiting.of("tools/list")) == 1)
        await answer(send, message, error={"code": 7, "message": "no list today"})

    async with serve_script(_listing(never)) as waiting, serve_script(_listing(refused)) as refusing:
        hosts = [waiting, refusing]
        servers = McpServers(outbound=outbound, allowed=[host.origin for host in hosts])
        before = asyncio.all_tasks()
        with pytest.raises(ToolFailed, match="s1 refused: no list today"):
            async with asyncio.timeout(5), servers.open(_rows(hosts), remember=Memory()):
                pass

        assert not [task for task in tasks_since(before) if "mcp." in task.get_name()]
        silent.set()


async def test_an_output_schema_is_not_run(outbound: Outbound) -> None:
    """Its pattern would hold the event loop for longer than anybody waits."""
    hostile = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}

    async def on_call(message: dict[str, Any], send: Send) -> None:
        structured = {"a": "a" * 40 + "!"}
        result = {"resultType": "complete", "content": [], "structuredContent": structured}
        await answer(send, message, result=result)

    listed = tool("go") | {"outputSchema": hostile}
    async with serve_script(offering(listed, on_call=on_call)) as host, opened(host, outbound) as tools:
        assert await tools["go"].call({}, CALL) == {"a": "a" * 40 + "!"}


def _silent_after_listing(silent: asyncio.Event) -> Script:
    """It answers the handshake and lists a tool, and then nothing: no call, no cancellation, no farewell."""

    async def script(message: dict[str, Any], send: Send) -> None:
        match message.get("method"):
            case "server/discover":
                await answer(send, message, status=400, error={"code": -32601, "message": "what?"})
            case "initialize":
                result = {
                    "protocolVersion": "2025-11-25",
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "silent", "version": "1"},
                }
                await answer(send, message, result=result, headers={"mcp-session-id": "s1"})
            case "notifications/initialized":
                await answer(send, message, status=202)
            case "tools/list":
                await answer(send, message, result={"tools": [tool("go")]})
            case _:
                await silent.wait()

    return script


def _rows(hosts: Sequence[McpHost]) -> list[dict[str, Json]]:
    return [{"type": "mcp", "name": f"s{n}", "url": host.url} for n, host in enumerate(hosts)]


async def _stay_until(leave: asyncio.Event, hosts: Sequence[McpHost], outbound: Outbound) -> None:
    servers = McpServers(outbound=outbound, allowed=[host.origin for host in hosts])
    async with servers.open(_rows(hosts), remember=Memory()):
        await leave.wait()


async def _never(message: dict[str, Any], send: Send) -> None:
    raise AssertionError(message)


def _listing(on_list: Script) -> Script:
    async def script(message: dict[str, Any], send: Send) -> None:
        if message.get("method") == "tools/list":
            await on_list(message, send)
        else:
            await offering(on_call=_never)(message, send)

    return script


async def _call(tool: Tool, arguments: dict[str, Json]) -> Json:
    return await tool.call(arguments, CALL)


async def _fails(on_call: Script, outbound: Outbound, *, saying: str, limits: McpLimits = USUAL) -> McpHost:
    script = offering(tool("go"), on_call=on_call)
    async with serve_script(script) as host, opened(host, outbound, limits=limits) as tools:
        with pytest.raises(ToolFailed, match=saying):
            await tools["go"].call({}, CALL)
    return host
