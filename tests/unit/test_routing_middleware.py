"""What every answer passes on its way out, with an application of a few lines inside."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation.errors import DatabaseUnavailable
from foundation.telemetry import Metrics
from routing.middleware import Access, Failures, RequestId, Unread
from routing.problems import problem_of
from routing.waiting import first_of


def scope(**headers: str) -> Scope:
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "GET", "path": "/", "headers": lines, "state": {}}


async def answered(app: ASGIApp, asked: Scope, *body: bytes) -> list[Message]:
    """All that `app` sends in answer to a request whose body comes in these parts."""
    got: list[Message] = []
    left = list(body) or [b""]

    async def receive() -> Message:
        part = left.pop(0) if left else b""
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    async def send(message: Message) -> None:
        got.append(message)

    await app(asked, receive, send)
    return got


async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("select secret from passwords")


async def breaks_half_way(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise RuntimeError("select secret from passwords")


async def reads_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 401, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["more_body"]:
        pass
    await reads_nothing(scope, receive, send)


async def is_left(scope: Scope, receive: Receive, send: Send) -> None:
    raise ClientDisconnect


async def test_what_nobody_expected_is_a_problem_that_tells_nothing() -> None:
    start, body = await answered(RequestId(Failures(breaks)), scope())

    document = json.loads(body["body"])
    assert (start["status"], document["code"]) == (500, "internal_error")
    assert document["requestId"] == dict(start["headers"])[b"x-request-id"].decode()
    assert b"secret" not in body["body"]


async def test_a_refusal_says_when_to_come_back() -> None:
    answer = problem_of(scope(), DatabaseUnavailable("try again"))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert json.loads(bytes(answer.body))["code"] == "database_unavailable"


async def test_half_an_answer_is_left_incomplete() -> None:
    sent = await answered(Failures(breaks_half_way), scope())

    assert [message.get("more_body") for message in sent] == [None, True]


@pytest.mark.parametrize(
    ("app", "headers", "closes"),
    [
        (reads_nothing, {"content_length": "5"}, True),
        (reads_nothing, {"transfer_encoding": "chunked"}, True),
        (reads_nothing, {"content_length": "0"}, False),
        (reads_nothing, {}, False),
        (reads_all, {"content_length": "5"}, False),
    ],
)
async def test_a_body_nobody_took_ends_the_connection(
    app: ASGIApp, headers: dict[str, str], closes: bool
) -> None:
    sent = await answered(Unread(app), scope(**headers), b"ab", b"cde")

    assert ((b"connection", b"close") in sent[0]["headers"]) is closes


async def test_what_is_on_its_way_is_taken_before_the_connection_ends() -> None:
    happened = await _refused(400, b"ab", b"cde", b"f")

    assert happened == ["start", "answer", "ab", "cde", "f", "end"]


async def test_a_client_that_was_too_slow_is_not_waited_for() -> None:
    assert await _refused(408, b"ab", b"cde") == ["start", "answer"]


async def test_a_body_that_never_ends_is_not_waited_for_to_its_end() -> None:
    endless = await _refused(413, *[b"x" * 65_536] * 100)
    silent = await _refused(413, b"ab", is_silent=True)

    assert (endless[-1], len(endless)) == ("end", 2 + 4 + 1)
    assert silent == ["start", "answer", "ab", "end"]


async def _refused(status: int, *body: bytes, is_silent: bool = False) -> list[str]:
    """What happens, in order, when a request is refused before its body is read."""
    happened: list[str] = []
    left = list(body)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        part = left.pop(0)
        happened.append(part[:3].decode())
        return {"type": "http.request", "body": part, "more_body": bool(left) or is_silent}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            happened.append("start")
        else:
            happened.append("answer" if message.get("body") else "end")

    app = Unread(PlainTextResponse("no", status), linger_s=0.05 if is_silent else 60)
    await app(scope(content_length="9"), receive, send)
    return happened


async def test_a_client_that_left_is_counted_but_not_answered() -> None:
    metrics = Metrics()

    sent = await answered(Access(is_left, metrics=metrics), scope())

    labels = {"route": "unmatched", "method": "GET", "status": "499"}
    assert sent == []
    assert metrics.registry.get_sample_value("http_requests_total", labels) == 1


async def test_half_an_answer_is_counted_as_what_it_came_to() -> None:
    metrics = Metrics()

    await answered(Access(Failures(breaks_half_way), metrics=metrics), scope())

    assert _counted(metrics, "500") == 1
    assert _counted(metrics, "200") is None


async def test_what_nobody_answers_for_is_no_client_that_left() -> None:
    metrics = Metrics()

    with pytest.raises(RuntimeError):
        await answered(Access(breaks, metrics=metrics), scope())

    assert _counted(metrics, "500") == 1


async def test_a_method_nobody_knows_makes_no_series_of_its_own() -> None:
    metrics = Metrics()

    await answered(Access(reads_nothing, metrics=metrics), {**scope(), "method": "BREW-0001"})

    labels = {"route": "unmatched", "method": "other", "status": "401"}
    assert metrics.registry.get_sample_value("http_requests_total", labels) == 1


def _counted(metrics: Metrics, status: str) -> float | None:
    labels = {"route": "unmatched", "method": "GET", "status": status}
    return metrics.registry.get_sample_value("http_requests_total", labels)


async def test_the_first_to_end_counts_and_the_others_are_ended() -> None:
    ended: list[str] = []

    async def forever() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("forever")
        return "never"

    async def soon() -> str:
        return "soon"

    assert await first_of(forever(), soon()) == "soon"
    assert ended == ["forever"]


async def test_who_gives_up_waiting_ends_all_that_was_waited_for() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("forever")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await first_of(forever(), forever())

    assert ended == ["forever", "forever"]
