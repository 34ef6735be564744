from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from foundation.errors import Json, NotConfigured
from foundation.outbound import Outbound
from foundation.workers import WorkerPool
from heavy_agents.credits import Usage
from heavy_agents.tools import (
    BadArguments,
    Call,
    Outcome,
    Process,
    Servers,
    Shelf,
    Tool,
    Toolbox,
    ToolFailed,
    function_tool,
)
from heavy_agents.tools.forecasting import PROPERTIES, Forecasting
from heavy_agents.tools.share import Share
from tests.support.bench import Bench, until

SERIES = Path(__file__).parents[2] / "demo" / "series" / "monthly_us_emp_leisure_and_hospitality.csv"
CALL = Call(key="run:1", spend=lambda _: None)
DOCUMENT: dict[str, Json] = {
    "name": None,
    "method": "constant",
    "frequency": "monthly",
    "level": 0.95,
    "points": [],
    "backtest": None,
    "warnings": [],
}
MCP: dict[str, Json] = {"type": "mcp", "name": "shop", "url": "https://mcp.example.com/mcp"}


class Noon:
    def now(self) -> datetime:
        return datetime(2024, 2, 29, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


class Shops:
    """Servers that need no network; each has one tool, and knows whether it is open."""

    def __init__(self) -> None:
        self.open_now: list[Json] = []
        self.closed: list[Json] = []

    def check(self, entry: Mapping[str, Json]) -> None:
        if "url" not in entry:
            raise NotConfigured("the MCP server has no url")

    def open(
        self,
        entries: Sequence[Mapping[str, Json]],
        *,
        remember: Callable[[str, Callable[[], Awaitable[Json]]], Awaitable[Json]],
    ) -> AbstractAsyncContextManager[Sequence[Tool]]:
        return self._opened(entries, remember)

    @asynccontextmanager
    async def _opened(
        self,
        entries: Sequence[Mapping[str, Json]],
        remember: Callable[[str, Callable[[], Awaitable[Json]]], Awaitable[Json]],
    ) -> AsyncIterator[Sequence[Tool]]:
        async def price() -> int:
            return 3

        async def names() -> Json:
            return ["price"]

        assert await remember("tools shop", names) == ["price"]
        names_here = [entry["name"] for entry in entries]
        self.open_now += names_here
        try:
            yield [function_tool(price) for _ in entries]
        finally:
            self.open_now = []
            self.closed += names_here


async def forecast_in(run: Toolbox, call: Call | None = None) -> Outcome:
    return await run.call("forecast", orjson.dumps({"series": demo()}).decode(), call or CALL)


async def once(name: str, work: Callable[[], Awaitable[Json]]) -> Json:
    return await work()


def a_shelf(pool: Process | None = None, *, may_fetch: bool = True, mcp: Servers | None = None) -> Shelf:
    return Shelf(
        outbound=Outbound(),
        process=pool or WorkerPool(processes=1, memory_mb=512),
        clock=Noon(),
        may_fetch=may_fetch,
        private_hosts=frozenset(),
        mcp=mcp,
    )


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(processes=1, memory_mb=1024)
    await pool.start()
    yield pool
    await pool.stop()


def demo() -> list[Json]:
    with SERIES.open(newline="") as file:
        return [{"date": row["date"], "value": float(row["value"])} for row in csv.DictReader(file)]


@pytest.mark.parametrize("chosen", [None, []])
async def test_nothing_chosen_is_no_tools(chosen: Json) -> None:
    async with a_shelf().open(chosen, remember=once) as toolbox:
        assert toolbox.specs == []


async def test_chosen_tools_come_to_the_run_and_leave_with_it() -> None:
    shops = Shops()
    chosen: Json = ["now", {"type": "forecast"}, {"type": "http_fetch", "hosts": ["Example.com"]}, MCP]

    async with a_shelf(mcp=shops).open(chosen, remember=once) as toolbox:
        names = [spec["function"]["name"] for spec in toolbox.specs if isinstance(spec["function"], dict)]
        price = await toolbox.call("price", "{}", CALL)
        assert shops.open_now == ["shop"]

    assert names == ["now", "forecast", "http_fetch", "price"]
    assert price.result == 3
    assert (shops.open_now, shops.closed) == ([], ["shop"])


async def test_servers_are_left_when_their_tools_have_one_name() -> None:
    shops = Shops()

    with pytest.raises(NotConfigured, match="'price' is there twice"):
        async with a_shelf(mcp=shops).open([MCP, {**MCP, "name": "store"}], remember=once):
            pass

    assert shops.closed == ["shop", "store"]


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ("now", "wants a list"),
        ({"type": "now"}, "wants a list"),
        (["now", "later"], r'tools\[1\]: "later" is no tool; write "now"'),
        ([None], r"tools\[0\]: null is no tool"),
        ([{"name": "now"}], "is no tool"),
        (["mcp"], "is no tool"),
        (["now", {"type": "now"}], "there twice"),
        (["http_fetch", {"type": "http_fetch"}], "there twice"),
        ([MCP, MCP], "there twice"),
        ([{"type": "now", "zone": "UTC"}], '"zone" is no field here'),
        ([{"type": "http_fetch", "host": "a.example"}], '"host" is no field here'),
        ([{"type": "http_fetch", "hosts": []}], "1 to 100 names"),
        ([{"type": "http_fetch", "hosts": "a.example"}], "1 to 100 names"),
        ([{"type": "http_fetch", "hosts": ["https://a.example"]}], r"hosts: .* is no host"),
        ([{"type": "http_fetch", "hosts": ["*"]}], "is no host"),
        ([{"type": "http_fetch", "hosts": ["a.*.example"]}], "is no host"),
        ([{"type": "http_fetch", "hosts": [7]}], "is no host"),
        (["now"] * 33, "33 entries"),
        ([{**MCP, "name": f"shop{n}"} for n in range(9)], "9 MCP servers, at most 8"),
        ([{"type": "mcp", "name": "shop"}], "has no url"),
    ],
)
def test_a_choice_that_cannot_be_given_is_refused_with_the_fix(chosen: Json, says: str) -> None:
    with pytest.raises(NotConfigured, match=says):
        a_shelf(mcp=Shops()).check(chosen)


def test_a_refusal_does_not_repeat_a_secret() -> None:
    entry: Json = {"type": "mpc", "name": "shop", "headers": {"authorization": "secret"}}

    with pytest.raises(NotConfigured) as refused:
        a_shelf().check([entry])

    assert "shop" in refused.value.detail
    assert "secret" not in refused.value.detail


def test_the_operator_decides_about_the_web_and_about_servers() -> None:
    with pytest.raises(NotConfigured, match="ENABLE_WEB_SCRAPING"):
        a_shelf(may_fetch=False).check(["http_fetch"])
    with pytest.raises(NotConfigured, match="MCP_SERVERS"):
        a_shelf().check([MCP])


async def test_now_is_told_in_the_time_zone_asked_for() -> None:
    async with a_shelf().open(["now"], remember=once) as toolbox:
        here = await toolbox.call("now", "", CALL)
        there = await toolbox.call("now", '{"timezone": "Asia/Tokyo"}', CALL)

    assert here.result == {
        "iso": "2024-02-29T12:00:00+00:00",
        "weekday": "Thursday",
        "unix": 1_709_208_000,
        "timezone": "UTC",
    }
    assert there.result == {
        "iso": "2024-02-29T21:00:00+09:00",
        "weekday": "Thursday",
        "unix": 1_709_208_000,
        "timezone": "Asia/Tokyo",
    }


@pytest.mark.parametrize(
    "zone", ["Mars/Base", "", "../../etc/passwd", "/etc/passwd", "Europe", "a\0b", "x" * 5_000]
)
async def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    async with a_shelf().open(["now"], remember=once) as toolbox:
        told = await toolbox.call("now", orjson.dumps({"timezone": zone}).decode(), CALL)

    assert "is no IANA time zone" in str(told.error)


async def test_a_forecast_is_computed_and_counted(pool: WorkerPool) -> None:
    spent: list[Usage] = []
    series = demo()

    result = await Forecasting(pool).call({"series": series, "horizon": 3}, Call("run:1", spent.append))

    assert isinstance(result, dict)
    assert list(result) == ["name", "method", "frequency", "level", "points", "test", "cautions"]
    points = result["points"]
    assert isinstance(points, list)
    assert [list(point) for point in points if isinstance(point, dict)] == [
        ["date", "yhat", "lower", "upper"]
    ] * 3
    used = spent[0] + spent[1]
    assert (used.compute_jobs, len(spent)) == (1, 2)
    assert used.compute_ms > 0


async def test_a_series_that_cannot_be_forecast_is_explained(pool: WorkerPool) -> None:
    spent: list[Usage] = []

    with pytest.raises(BadArguments) as refused:
        await Forecasting(pool).call(
            {"series": [{"date": "1.4.2006", "value": "3"}], "horizont": 3}, Call("run:1", spent.append)
        )

    assert "series[0].date" in refused.value.message
    assert "horizont: is not a field here" in refused.value.message
    assert spent == []


async def test_a_forecast_without_a_process_is_a_failure_in_a_sentence() -> None:
    pool = WorkerPool(processes=1, memory_mb=512)
    await pool.stop()

    with pytest.raises(ToolFailed, match="there is no forecast: the computing processes are being stopped"):
        await Forecasting(pool).call({"series": demo()}, CALL)


async def test_one_run_computes_two_forecasts_at_a_time() -> None:
    bench = Bench(DOCUMENT)

    async with (
        a_shelf(bench).open(["forecast"], remember=once) as run,
        a_shelf(bench).open(["forecast"], remember=once) as other,
    ):
        calls = [asyncio.create_task(forecast_in(run)) for _ in range(5)]
        await until(lambda: bench.under_way == 2 and bench.asked == 2)
        calls.append(asyncio.create_task(forecast_in(other)))
        await until(lambda: bench.under_way == 3)
        bench.may_end.set()
        outcomes = await asyncio.gather(*calls)

    assert all(outcome.ok for outcome in outcomes)
    assert bench.most == 3


async def test_a_job_that_is_cancelled_gives_its_turn_to_the_next() -> None:
    bench = Bench(DOCUMENT)
    share = Share(bench, at_once=2)

    jobs = [asyncio.create_task(share.run("job", {}, timeout_s=1)) for _ in range(5)]
    await until(lambda: bench.under_way == 2)
    jobs[0].cancel()
    await until(lambda: bench.asked == 3)
    bench.may_end.set()
    await asyncio.wait(jobs)

    assert (bench.most, bench.asked) == (2, 5)


async def test_a_run_that_has_computed_twenty_times_goes_on_without() -> None:
    bench = Bench(DOCUMENT)
    bench.may_end.set()
    used = Usage(compute_jobs=18)

    def spend(usage: Usage) -> None:
        nonlocal used
        used += usage

    call = Call("run:1", spend, lambda: used)
    async with a_shelf(bench).open(["forecast"], remember=once) as run:
        outcomes = await asyncio.gather(*(forecast_in(run, call) for _ in range(4)))

    assert [outcome.ok for outcome in outcomes].count(True) == 2
    assert {outcome.error for outcome in outcomes if not outcome.ok} == {
        "there is no forecast: 20 were computed already; go on without more"
    }
    assert (used.compute_jobs, bench.asked) == (20, 2)


def test_the_schema_of_a_forecast_names_what_is_read() -> None:
    from forecast import parse

    everything: dict[str, Json] = {
        "series": demo(),
        "horizon": 120,
        "frequency": "monthly",
        "level": 0.99,
        "nonNegative": True,
        "name": "x" * 100,
    }

    parse(everything)

    assert PROPERTIES.keys() == everything.keys()
