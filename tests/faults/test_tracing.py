"""Traces when a server dies, and servers when the collector does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from starlette.types import Send

from tests.support.collector import PATH, Collector, Seen, serve_collector
from tests.support.process import ServerProcess, free_port
from tests.support.stage import Stage, Talk, open_stage


@pytest.fixture
async def stage(demo_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(demo_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with serve_collector() as opened:
        yield opened


def traced(stage: Stage, url: str) -> dict[str, str]:
    return {**stage.settings, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"}


async def test_a_run_that_another_process_goes_on_with_stays_in_its_trace(
    stage: Stage, collector: Collector
) -> None:
    talk = Talk("one")
    await stage.prepare([talk])
    settings = traced(stage, collector.url)

    async with ServerProcess.running(**settings) as first:
        talk.run_id = await stage.submit(first, talk.name)
        await collector.until(lambda spans: "step turn-1" in names(spans))
        await first.kill()
    async with ServerProcess.running(**settings) as second:
        await talk.follow(second)
        spans = await collector.until(lambda _: collector.named("run.execute") != [])

    (submit,) = collector.named("run.submit")
    (execution,) = collector.named("run.execute")
    assert execution.attributes["switchyard.run.epoch"] == 2
    assert execution.attributes["switchyard.run.status"] == "succeeded"
    assert execution.parent_id == submit.span_id
    run = [span for span in spans if span.name.startswith(("run.", "step", "model", "tool"))]
    assert {span.trace_id for span in run} == {submit.trace_id}
    # What the first has done is not done again, and each says which process it was.
    (done,) = collector.named("step turn-1")
    assert done.resource["service.instance.id"] != execution.resource["service.instance.id"]
    assert [span.failed for span in run] == [None] * len(run)


@pytest.mark.parametrize("fault", ["away", "silent"])
async def test_a_collector_in_trouble_hurts_no_run_and_keeps_no_process(
    stage: Stage, collector: Collector, tmp_path: Path, fault: str
) -> None:
    url = f"http://127.0.0.1:{free_port()}" if fault == "away" else collector.url
    if fault == "silent":
        collector.web.answers[PATH] = never
    settings = {**traced(stage, url), "DRAIN_SECONDS": "10", "LOG_LEVEL": "warning"}
    log_file = tmp_path / "log"

    async with ServerProcess.of(settings, log_file=log_file) as server:
        for name in ("one", "two"):
            talk = Talk(name, await stage.submit(server, name))
            await talk.follow(server)
            assert talk.seen[-1]["type"] == "done"
        code = await server.terminate(within_s=10)

    assert code == 0
    lines = [orjson.loads(line) for line in log_file.read_bytes().splitlines()]
    assert [line["event"] for line in lines] == ["telemetry_does_not_arrive"]


async def never(send: Send) -> None:
    await asyncio.sleep(60)


def names(spans: list[Seen]) -> set[str]:
    return {span.name for span in spans}
