from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from foundation.errors import Json, ModelUnavailable, NotConfigured
from foundation.outbound import Outbound
from foundation.telemetry import Metrics
from heavy_agents.llm import AgentMistake, Limits, Model, Prompt, Tokens, ToolCall, Turn, estimate_tokens
from tests.support.model import Fault, ModelProcess, ModelServer, Reply, Rule, read_log, serve_model

KEY = "sk-canary-of-the-key-0123456789"
SAID: list[dict[str, Json]] = [{"role": "user", "content": "how are you today"}]
PROMPT = Prompt("gpt", SAID)
LONG = " ".join(f"word{number}" for number in range(200))


@dataclass
class Ear:
    """A listener that writes down what it is told."""

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    bills: list[Tokens] = field(default_factory=list)

    async def begin(self, call_id: str) -> None:
        self.ids.append(call_id)

    async def text(self, content: str) -> None:
        self.texts.append(content)

    def bought(self, tokens: Tokens) -> None:
        self.bills.append(tokens)

    @property
    def heard(self) -> str:
        return "".join(self.texts)


class SlowEar(Ear):
    """One that takes its time with the first text, until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.has_heard = asyncio.Event()
        self.may_go_on = asyncio.Event()

    async def text(self, content: str) -> None:
        await super().text(content)
        self.has_heard.set()
        await self.may_go_on.wait()


@dataclass
class Bench:
    model: Model
    server: ModelServer
    metrics: Metrics

    async def ask(self, *rules: Rule, ear: Ear | None = None, prompt: Prompt = PROMPT) -> tuple[Turn, Ear]:
        await self.server.play(*rules)
        ear = ear or Ear()
        return await self.model.ask(prompt, ear), ear

    async def fail(
        self, *rules: Rule, prompt: Prompt = PROMPT
    ) -> tuple[ModelUnavailable | AgentMistake, Ear]:
        await self.server.play(*rules)
        ear = Ear()
        with pytest.raises((ModelUnavailable, AgentMistake)) as failure:
            await self.model.ask(prompt, ear)
        # Any: pytest knows only one of the two.
        error: Any = failure.value
        return error, ear

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def outcomes(self, outcome: str) -> float:
        return self.count("heavy_agent_model_calls_total", outcome=outcome)

    @property
    def lost(self) -> float:
        return self.count("heavy_agent_lost_calls_total")


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ModelServer]:
    async with serve_model() as server:
        yield server


@asynccontextmanager
async def asking(
    url: str, outbound: Outbound, *, key: str | None = KEY, **limits: float
) -> AsyncIterator[tuple[Model, Metrics]]:
    metrics = Metrics()
    model = Model(base_url=url, api_key=key, outbound=outbound, metrics=metrics, limits=Limits(**limits))
    await model.start()
    try:
        yield model, metrics
    finally:
        await model.stop()


@pytest.fixture
async def bench(outbound: Outbound, server: ModelServer) -> AsyncIterator[Bench]:
    """A model of the test's own: its budget, quirks and numbers are fresh."""
    async with asking(server.url, outbound) as (model, metrics):
        yield Bench(model, server, metrics)


@pytest.fixture
async def hasty(outbound: Outbound, server: ModelServer) -> AsyncIterator[Bench]:
    async with asking(server.url, outbound, first_token_s=1.0, silence_s=0.3, turn_s=1.5) as (model, metrics):
        yield Bench(model, server, metrics)


# Any: the members of a `Fault`.
def fault(**members: Any) -> Reply:
    return Reply(text=LONG, fault=cast("Fault", members))


def status(status: int, **error: object) -> Reply:
    return fault(kind="status", status=status, error=error)


async def test_an_answer_is_told_as_it_comes_and_returned_whole(bench: Bench) -> None:
    turn, ear = await bench.ask({"reply": {"text": LONG}})

    assert turn.text == ear.heard == LONG
    assert (turn.model, turn.finish, turn.refusal, turn.tool_calls) == ("gpt", "stop", None, ())
    assert turn.tokens == Tokens(5, 200, is_estimated=False)
    assert ear.bills == [turn.tokens]
    assert ear.ids == [turn.call_id] == [call.call_id for call in bench.server.log.calls]


async def test_what_is_asked_reaches_the_provider_with_the_key(bench: Bench) -> None:
    tool: dict[str, Json] = {"type": "function", "function": {"name": "f", "parameters": {}}}
    prompt = Prompt("gpt", SAID, [tool], "auto", 0.5, 7, {"type": "json_object"})

    await bench.ask(prompt=prompt)

    (asked,) = bench.server.log.calls
    assert asked.is_authorized
    assert asked.body == {
        "model": "gpt",
        "messages": SAID,
        "tools": [tool],
        "tool_choice": "auto",
        "temperature": 0.5,
        "max_tokens": 7,
        "response_format": {"type": "json_object"},
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_tool_calls_reasoning_and_refusals_are_parts_of_a_turn(bench: Bench) -> None:
    turn, ear = await bench.ask(
        {
            "reply": {
                "reasoning": "let me see",
                "tool_calls": [
                    {"name": "a", "arguments": {"x": "a long enough argument"}},
                    {"name": "b", "arguments": "{broken"},
                ],
            }
        }
    )
    refused, _ = await bench.ask({"reply": {"refusal": "I will not"}})

    assert turn.tool_calls == (
        ToolCall("call_0", "a", '{"x": "a long enough argument"}'),
        ToolCall("call_1", "b", "{broken"),
    )
    assert (turn.reasoning, turn.finish, turn.text, ear.texts) == ("let me see", "tool_calls", "", [])
    assert (refused.refusal, refused.text) == ("I will not", "")


async def test_an_answer_leaves_its_connection_to_the_next(bench: Bench) -> None:
    # [DONE] and the end of the body come apart.
    await bench.server.play(
        {"times": 1, "reply": {"text": "a", "between_s": 0.02}}, {"reply": {"text": LONG}}
    )

    for _ in range(3):
        await bench.model.ask(PROMPT, Ear())

    assert len({call.connection for call in bench.server.log.calls}) == 1


async def test_text_that_came_together_is_told_together(bench: Bench) -> None:
    ear = SlowEar()
    asked = asyncio.create_task(bench.ask({"reply": {"text": LONG}}, ear=ear))
    await ear.has_heard.wait()
    await bench.server.log.until_ended(1)

    ear.may_go_on.set()
    turn, _ = await asked

    assert len(ear.texts) <= 10
    assert ear.heard == turn.text == LONG


async def test_a_slow_listener_is_not_a_silent_provider(hasty: Bench) -> None:
    ear = SlowEar()
    asked = asyncio.create_task(hasty.ask({"reply": {"text": "a b c", "between_s": 0.05}}, ear=ear))
    await ear.has_heard.wait()
    # Longer than the provider may be silent.
    await asyncio.wait({asked}, timeout=0.6)

    ear.may_go_on.set()

    assert (await asked)[0].text == "a b c"


@pytest.mark.parametrize("usage", ["missing", "absurd", "negative"])
async def test_tokens_that_are_not_told_are_estimated(bench: Bench, usage: str) -> None:
    turn, ear = await bench.ask({"reply": {"text": "abcd", "usage": usage}})

    assert turn.tokens == Tokens(estimate_tokens(SAID), 2, is_estimated=True)
    assert ear.bills == [turn.tokens]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
async def test_an_answer_that_was_stopped_says_why(bench: Bench, finish: str) -> None:
    turn, _ = await bench.ask({"reply": {"text": "a", "finish": finish}})

    assert turn.finish == finish


async def test_a_stream_without_done_is_complete_when_it_says_why_it_stopped(bench: Bench) -> None:
    turn, _ = await bench.ask({"reply": fault(kind="no_done", after=0)})

    assert turn.text == LONG


@pytest.mark.parametrize("kind", ["close", "silence", "garbage", "error", "end"])
async def test_what_fails_after_the_whole_answer_does_not_matter(hasty: Bench, kind: str) -> None:
    # The last seventh is usage and [DONE].
    turn, ear = await hasty.ask({"reply": fault(kind=kind, after=0.85) | Reply(text="a")})

    assert (turn.text, turn.finish) == ("a", "stop")
    assert turn.tokens.is_estimated
    assert ear.heard == "a"
    assert len(ear.bills) == 1


BEFORE_THE_FIRST_TOKEN = [
    fault(kind="reset", after=0),
    fault(kind="close", after=0),
    fault(kind="end", after=0.001),
    fault(kind="garbage", after=0),
    fault(kind="error", after=0),
    fault(kind="long_line", after=0),
    fault(kind="content_type"),
]


@pytest.mark.parametrize("reply", BEFORE_THE_FIRST_TOKEN, ids=lambda reply: reply["fault"]["kind"])
async def test_an_answer_that_fails_before_its_first_token_is_asked_for_again(
    bench: Bench, reply: Reply
) -> None:
    turn, ear = await bench.ask({"times": 1, "reply": reply})

    assert turn.text == ear.heard == "This is the answer of the scripted model."
    assert ear.bills == [turn.tokens]
    assert len(set(ear.ids)) == 2
    assert ear.ids == [call.call_id for call in bench.server.log.calls]
    assert (bench.lost, bench.outcomes("cut"), bench.outcomes("complete")) == (1, 1, 1)


async def test_an_answer_that_goes_on_failing_is_asked_for_three_times(bench: Bench) -> None:
    error, ear = await bench.fail({"reply": fault(kind="close", after=0)})

    assert isinstance(error, ModelUnavailable)
    assert len(ear.ids) == len(bench.server.log.calls) == bench.lost == 3
    assert ear.bills == []


@pytest.mark.parametrize("kind", ["close", "end", "garbage", "error", "long_line"])
@pytest.mark.parametrize("after", [0.02, 0.5, 0.97])
async def test_an_answer_that_fails_after_its_first_token_is_not_asked_for_again(
    bench: Bench, kind: str, after: float
) -> None:
    error, ear = await bench.fail({"reply": fault(kind=kind, after=after)})

    assert isinstance(error, ModelUnavailable)
    assert LONG.startswith(ear.heard)
    assert len(bench.server.log.calls) == bench.lost == 1
    assert ear.bills == []


@pytest.mark.parametrize("code", [408, 409, 429, 500, 502, 503])
async def test_a_passing_refusal_is_ridden_out_under_the_same_id(bench: Bench, code: int) -> None:
    refusal = fault(kind="status", status=code, headers={"retry-after-ms": "20"})

    turn, ear = await bench.ask({"times": 2, "reply": refusal})

    assert [call.call_id for call in bench.server.log.calls] == [turn.call_id] * 3
    assert ear.ids == [turn.call_id]
    assert ear.bills == [turn.tokens]


async def test_both_kinds_of_retry_together_are_two(bench: Bench) -> None:
    refusal = fault(kind="status", status=503, headers={"retry-after-ms": "20"})
    error, ear = await bench.fail({"times": 1, "reply": refusal}, {"reply": fault(kind="close", after=0)})

    assert isinstance(error, ModelUnavailable)
    assert [call.status for call in bench.server.log.calls] == [503, 200, 200]
    assert len(ear.ids) == 2


async def test_a_lasting_trouble_spends_the_budget_and_no_more(bench: Bench) -> None:
    refusal = fault(kind="status", status=503, headers={"retry-after-ms": "20"})
    await bench.server.play({"reply": refusal})

    failures = await asyncio.gather(
        *(bench.model.ask(PROMPT, Ear()) for _ in range(20)), return_exceptions=True
    )

    assert {type(failure) for failure in failures} == {ModelUnavailable}
    assert 20 + 10 <= len(bench.server.log.calls) <= 20 + 10 + 20 / 5


@pytest.mark.parametrize(
    ("reply", "kind", "says", "outcome"),
    [
        (status(401), ModelUnavailable, "the server's key", "unavailable"),
        (status(403), ModelUnavailable, "the server's key", "unavailable"),
        (status(404), AgentMistake, "'gpt' is not offered", "refused"),
        (status(400, code="context_length_exceeded"), AgentMistake, "too long", "refused"),
        (status(400, code="content_filter"), AgentMistake, "content filter", "refused"),
        (status(422), AgentMistake, "invalid", "refused"),
        (status(429, code="insufficient_quota"), ModelUnavailable, "used up", "unavailable"),
        (status(302), ModelUnavailable, "failed", "unavailable"),
    ],
)
async def test_a_refusal_for_good_is_not_asked_again(
    bench: Bench, reply: Reply, kind: type[Exception], says: str, outcome: str
) -> None:
    error, ear = await bench.fail({"reply": reply})

    assert isinstance(error, kind)
    assert says in str(error)
    assert len(bench.server.log.calls) == 1
    assert (ear.bills, bench.lost, bench.outcomes(outcome)) == ([], 0, 1)


async def test_a_refused_key_names_the_setting_in_the_log(bench: Bench) -> None:
    with capture_logs() as lines:
        await bench.fail({"reply": status(401)})

    assert [(line["log_level"], line.get("setting")) for line in lines] == [("error", "OPENAI_API_KEY")]


@pytest.mark.parametrize(
    "reply",
    [
        status(401, message=KEY, code="canary"),
        status(400, message="canary", param="canary"),
        fault(kind="status", status=400, text="canary"),
        fault(
            kind="status", status=503, text="canary", headers={"x-should-retry": "false", "x-note": "canary"}
        ),
        fault(kind="error", after=0.5),
    ],
)
async def test_nothing_of_the_providers_gets_into_errors_and_logs(
    bench: Bench, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    # The libraries' own debug lines are not our text; above that nothing may leak.
    with capture_logs() as lines, caplog.at_level(logging.INFO):
        error, _ = await bench.fail({"reply": reply})

    said = f"{error!r} {error.__cause__!r} {error.__context__!r} {lines} {caplog.text}"
    assert KEY not in said
    assert "canary" not in said
    assert "a secret" not in said


@pytest.mark.parametrize(
    ("param", "code", "sent"),
    [
        ("max_tokens", "unsupported_parameter", {"max_completion_tokens": 9, "temperature": 0.5}),
        ("temperature", "unsupported_value", {"max_tokens": 9}),
        ("stream_options", None, {"max_tokens": 9, "temperature": 0.5}),
    ],
)
async def test_a_parameter_the_model_does_not_take_is_learned_once(
    bench: Bench, param: str, code: str | None, sent: dict[str, object]
) -> None:
    prompt = Prompt("gpt", SAID, temperature=0.5, max_tokens=9)

    _, ear = await bench.ask({"times": 1, "reply": status(400, param=param, code=code)}, prompt=prompt)
    await bench.model.ask(prompt, Ear())

    names = {"max_tokens", "max_completion_tokens", "temperature"}
    bodies = [call.body for call in bench.server.log.calls]
    assert [{name: body[name] for name in names & set(body)} for body in bodies[1:]] == [sent, sent]
    assert ("stream_options" in bodies[1]) == (param != "stream_options")
    assert len(ear.ids) == 2


async def test_a_parameter_that_is_not_the_reason_is_tried_once(bench: Bench) -> None:
    refusal = status(400, param="temperature", code="unsupported_value")

    error, _ = await bench.fail({"reply": refusal}, prompt=Prompt("gpt", SAID, temperature=0.5))
    await bench.ask(prompt=Prompt("gpt", SAID, temperature=0.5))

    assert isinstance(error, AgentMistake)
    assert bench.server.log.calls[0].body["temperature"] == 0.5


@pytest.mark.parametrize("kind", ["silence", "drip"])
async def test_a_stream_that_falls_silent_is_left(hasty: Bench, kind: str) -> None:
    error, ear = await hasty.fail({"reply": fault(kind=kind, after=0.5, every_s=0.05)})

    assert isinstance(error, ModelUnavailable)
    assert len(hasty.server.log.calls) == hasty.outcomes("cut") == hasty.lost == 1
    assert ear.bills == []
    await hasty.server.log.until_ended(1)
    assert hasty.server.log.calls[0].ended == "left"


async def test_a_stream_that_is_silent_from_the_start_is_asked_for_again(hasty: Bench) -> None:
    turn, ear = await hasty.ask({"times": 1, "reply": fault(kind="silence", after=0)})

    assert turn.text
    assert ear.bills == [turn.tokens]
    assert hasty.lost == 1


async def test_nothing_is_asked_again_that_would_be_given_up_at_once(
    outbound: Outbound, server: ModelServer
) -> None:
    async with asking(server.url, outbound, first_token_s=0.5, silence_s=0.3) as (model, metrics):
        error, ear = await Bench(model, server, metrics).fail({"reply": fault(kind="silence", after=0)})

    assert isinstance(error, ModelUnavailable)
    assert len(ear.ids) == len(server.log.calls) == 1


async def test_an_answer_without_a_head_is_waited_for_no_longer_than_for_a_first_token(hasty: Bench) -> None:
    error, ear = await hasty.fail({"reply": fault(kind="hang")})

    assert isinstance(error, ModelUnavailable)
    assert (ear.bills, hasty.lost) == ([], 0)
    assert len(ear.ids) == 1


async def test_a_provider_that_asks_for_much_patience_gets_no_more_than_there_is(hasty: Bench) -> None:
    refusal = fault(kind="status", status=429, headers={"retry-after": "100"})

    error, ear = await hasty.fail({"reply": refusal})

    assert isinstance(error, ModelUnavailable)
    assert (len(hasty.server.log.calls), ear.bills) == (1, [])


async def test_a_turn_has_a_limit_of_its_own(hasty: Bench) -> None:
    error, ear = await hasty.fail({"reply": {"text": LONG, "between_s": 0.05}})

    assert isinstance(error, ModelUnavailable)
    assert LONG.startswith(ear.heard)
    assert ear.bills == []


async def test_a_cancelled_call_closes_upstream_and_is_estimated(bench: Bench) -> None:
    ear = SlowEar()
    asked = asyncio.create_task(bench.ask({"reply": {"text": LONG, "between_s": 0.01}}, ear=ear))
    await ear.has_heard.wait()

    asked.cancel()
    await bench.server.log.until_ended(1)

    with pytest.raises(asyncio.CancelledError):
        await asked
    assert bench.server.log.calls[0].ended == "left"
    (bill,) = ear.bills
    assert bill.is_estimated
    assert bill.input == estimate_tokens(SAID)
    assert bill.output >= estimate_tokens(ear.heard)
    assert (bench.lost, bench.outcomes("cancelled")) == (0, 1)


async def test_a_call_cancelled_before_it_was_answered_costs_nothing(bench: Bench) -> None:
    ear = Ear()
    asked = asyncio.create_task(bench.ask({"reply": fault(kind="hang")}, ear=ear))
    await bench.server.log.until_called(1)

    asked.cancel()
    await bench.server.log.until_ended(1)

    with pytest.raises(asyncio.CancelledError):
        await asked
    assert ear.bills == []


async def test_a_listener_that_fails_ends_the_call(bench: Bench) -> None:
    class Deaf(Ear):
        async def text(self, content: str) -> None:
            raise TimeoutError(f"the listener's own, at {content}")

    ear = Deaf()
    with pytest.raises(TimeoutError, match="the listener's own"):
        await bench.ask({"reply": {"text": LONG, "between_s": 0.01}}, ear=ear)

    await bench.server.log.until_ended(1)
    assert bench.server.log.calls[0].ended == "left"
    assert ear.bills == []
    assert bench.lost == 1


async def test_nothing_is_sent_when_the_beginning_cannot_be_noted(bench: Bench) -> None:
    class Unready(Ear):
        async def begin(self, call_id: str) -> None:
            raise LookupError(call_id)

    with pytest.raises(LookupError):
        await bench.ask(ear=Unready())

    assert bench.server.log.calls == []


async def test_tokens_are_counted_by_model_and_few_models_by_name(bench: Bench) -> None:
    for number in range(52):
        await bench.ask(prompt=Prompt(f"m{number}", SAID))

    def counted(model: str) -> float:
        return bench.count("heavy_agent_model_tokens_total", model=model, kind="output")

    assert (counted("m0"), counted("m49"), counted("m50"), counted("other")) == (8, 8, 0, 16)
    assert bench.count("heavy_agent_model_first_token_seconds_count") == 52


@pytest.mark.parametrize("key", [None, "", "  ", "sk-“typographic”", "sk-a\nb"])
async def test_without_a_key_that_can_be_one_nothing_is_asked(outbound: Outbound, key: str | None) -> None:
    async with asking("http://127.0.0.1:1/v1", outbound, key=key) as (model, _):
        with pytest.raises(NotConfigured, match="OPENAI_API_KEY"):
            model.require()
        with pytest.raises(NotConfigured) as refusal:
            await model.ask(PROMPT, Ear())

    assert "sk-" not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/v1", "http://169.254.169.254/v1", "ftp://example.com/v1"]
)
async def test_an_address_that_cannot_be_asked_is_an_unavailable_provider(
    outbound: Outbound, url: str
) -> None:
    async with asking(url, outbound, connect_s=1.0) as (model, _):
        ear = Ear()
        with pytest.raises(ModelUnavailable, match="cannot be reached"):
            await model.ask(PROMPT, ear)

    assert ear.bills == []


async def test_a_call_under_way_ends_with_the_service(outbound: Outbound, server: ModelServer) -> None:
    await server.play({"reply": fault(kind="status", status=503, headers={"retry-after-ms": "200"})})
    async with asking(server.url, outbound) as (model, _):
        asked = asyncio.create_task(model.ask(PROMPT, Ear()))
        await server.log.until_called(1)

    with pytest.raises(ModelUnavailable):
        await asked


async def test_nothing_is_asked_after_the_end(outbound: Outbound, server: ModelServer) -> None:
    await server.play()
    async with asking(server.url, outbound) as (model, _):
        await model.ask(PROMPT, Ear())

    with pytest.raises(ModelUnavailable):
        await model.ask(PROMPT, Ear())


async def test_the_scripted_model_is_a_process_of_its_own_with_a_log(
    outbound: Outbound, tmp_path: Path
) -> None:
    async with (
        ModelProcess.running(log_file=tmp_path / "log") as process,
        asking(process.url, outbound) as (model, _),
    ):
        await process.play({"when": {"contains": "today"}, "reply": {"echo": ["model"]}})
        turn = await model.ask(PROMPT, Ear())
        (call,) = await process.until(lambda calls: [call.ended for call in calls] == ["complete"])

    assert turn.text == '{"model": "gpt"}'
    assert call.call_id == turn.call_id
    assert read_log(tmp_path / "log") == [call]
