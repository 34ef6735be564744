"""What functions ask of the web, and what the model reads of the answers, over real requests.

Only the name is another: what is sent to `api.example` arrives at a server of the test. All else is as on the
way out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson
import pytest

from foundation.errors import Json
from foundation.outbound import Fetched, Outbound
from heavy_agents.edge.calls import FAILED, MAX_BYTES, NOTE, Calls
from heavy_agents.edge.functions import Function, FunctionType
from tests.support.web import Web

AGENT = UUID("00000000-0000-4000-a000-000000000003")
ADDRESS = "https://api.example"


class Nearby(Outbound):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    # Any: the arguments of `fetch`.
    async def fetch(self, url: str, **how: Any) -> Fetched:
        return await super().fetch(url.replace(ADDRESS, self._url), **how, allow_private=True)


@pytest.fixture
async def calls(web: Web) -> AsyncIterator[Calls]:
    web.asked.clear()
    outbound = Nearby(web.url)
    await outbound.start()
    yield Calls(outbound)
    await outbound.stop()


def function(type_: FunctionType, path: str, **config: Json) -> Function:
    return Function("Weather", type_, (), {"url": f"{ADDRESS}{path}", **config})


async def told(calls: Calls, *functions: Function) -> list[str]:
    return await calls.notes(functions, agent_id=AGENT, message="go on")


async def test_an_answer_is_read_under_the_functions_name(web: Web, calls: Calls) -> None:
    web.reply("/weather", '{"sky": "blüe\0"}'.encode())

    notes = await told(calls, function(FunctionType.API_CALL, "/weather?key=secret"))

    assert notes == [f'# Weather\n\n{NOTE}\n\n{{"sky": "blüe"}}']
    (asked,) = web.asked
    assert (asked.method, asked.path, asked.body) == ("GET", "/weather?key=secret", b"")


async def test_method_headers_and_body_are_the_owners(web: Web, calls: Calls) -> None:
    web.reply("/orders", b"made")
    headers: Json = {"X-Own": "1", "Content-Type": "application/vnd.own+json"}

    await told(
        calls,
        function(FunctionType.API_CALL, "/orders", method="put", headers=headers, body={"n": 1}),
        function(FunctionType.API_CALL, "/orders", method="POST", body="as it is"),
    )

    one, other = web.asked
    assert (one.method, one.body, one.headers["x-own"]) == ("PUT", b'{"n":1}', "1")
    assert one.headers["content-type"] == "application/vnd.own+json"
    assert (other.method, other.body, other.headers["content-type"]) == (
        "POST",
        b"as it is",
        "application/json",
    )


async def test_a_webhook_is_told_the_agent_and_the_message(web: Web, calls: Calls) -> None:
    web.reply("/hook", b"noted")

    notes = await told(calls, function(FunctionType.WEBHOOK, "/hook"))

    (asked,) = web.asked
    assert asked.method == "POST"
    assert orjson.loads(asked.body) == {"agentId": str(AGENT), "message": "go on"}
    assert notes == [f"# Weather\n\n{NOTE}\n\nnoted"]


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_an_answer_that_is_an_error_has_failed(web: Web, calls: Calls, status: int) -> None:
    web.reply("/broken", b"a secret of theirs", status=status)

    notes = await told(
        calls, function(FunctionType.API_CALL, "/broken"), function(FunctionType.WEBHOOK, "/broken")
    )

    assert notes == [f"# Weather\n\n{FAILED}"]


async def test_a_redirect_is_not_followed(web: Web, calls: Calls) -> None:
    web.reply("/moved", status=302, headers={"location": f"{web.url}/elsewhere"})
    web.reply("/elsewhere", b"here")

    notes = await told(calls, function(FunctionType.API_CALL, "/moved"))

    assert notes == [f"# Weather\n\n{FAILED}"]
    assert web.asked_for("/elsewhere") == []


async def test_an_answer_is_read_up_to_its_bound(web: Web, calls: Calls) -> None:
    web.reply("/most", b"x" * MAX_BYTES)
    web.reply("/more", b"x" * (MAX_BYTES + 1))

    most, more = await told(
        calls, function(FunctionType.API_CALL, "/most"), function(FunctionType.API_CALL, "/more")
    )

    assert most.endswith("x" * MAX_BYTES)
    assert more == f"# Weather\n\n{FAILED}"


async def test_what_a_template_makes_is_bounded_too(calls: Calls) -> None:
    long = Function("Weather", FunctionType.DATA_TRANSFORM, (), {"template": "{{message}}" * 20_000})
    empty = Function("Weather", FunctionType.DATA_TRANSFORM, (), {"template": " "})

    assert await told(calls, long, empty) == [f"# Weather\n\n{FAILED}"] * 2
