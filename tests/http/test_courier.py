"""Spans and reports on their way: what becomes of them when the receiver is unwilling, slow or away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from starlette.types import Send
from structlog.testing import capture_logs

from foundation.outbound import Outbound
from foundation.telemetry.courier import Courier, Freight
from tests.support.process import free_port
from tests.support.web import Web

PATH = "/take"


@dataclass
class Sender:
    courier: Courier[str]
    lost: list[int] = field(default_factory=list)


@pytest.fixture
async def clean(web: Web) -> Web:
    web.asked.clear()
    return web


@asynccontextmanager
async def sending(outbound: Outbound, url: str, *, batch: int = 1) -> AsyncIterator[Sender]:
    """A courier that sends each item at once, until the block ends."""
    lost: list[int] = []
    freight: Freight[str] = Freight(
        name="items", url=url, headers={}, pack=packed, capacity=3, batch=batch, every_s=60, lost=lost.append
    )
    sender = Sender(Courier(freight, outbound), lost)
    await sender.courier.start()
    try:
        yield sender
    finally:
        await sender.courier.stop()


def packed(items: Sequence[str]) -> bytes:
    if "unwritable" in items:
        raise ValueError
    return ",".join(items).encode()


async def until_asked(web: Web, times: int) -> list[bytes]:
    async with asyncio.timeout(10):
        while len(web.asked_for(PATH)) < times:
            await asyncio.sleep(0.01)
    return [asked.body for asked in web.asked_for(PATH)]


async def test_a_full_batch_leaves_at_once_and_the_rest_at_the_end(clean: Web, outbound: Outbound) -> None:
    clean.reply(PATH)

    async with sending(outbound, clean.url + PATH, batch=2) as sender:
        sender.courier.put("a")
        sender.courier.put("b")
        await until_asked(clean, 1)
        sender.courier.put("c")

    assert [asked.body for asked in clean.asked_for(PATH)] == [b"a,b", b"c"]
    assert sender.lost == []


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500])
async def test_what_is_refused_is_counted_and_said_once(clean: Web, outbound: Outbound, status: int) -> None:
    clean.reply(PATH, b"no", status=status)

    with capture_logs() as lines:
        async with sending(outbound, clean.url + PATH) as sender:
            for item in "abc":
                sender.courier.put(item)
            await until_asked(clean, 3)

    assert sender.lost == [1, 1, 1]
    assert [(line["event"], line["why"]) for line in lines] == [
        ("telemetry_does_not_arrive", f"status_{status}")
    ]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_may_pass_is_tried_again_when_the_receiver_says(
    clean: Web, outbound: Outbound, status: int
) -> None:
    answers = [status, status, 200]

    async def answer(send: Send) -> None:
        head = [(b"retry-after", b"0")]
        await send({"type": "http.response.start", "status": answers.pop(0), "headers": head})
        await send({"type": "http.response.body"})

    clean.answers[PATH] = answer

    with capture_logs() as lines:
        async with sending(outbound, clean.url + PATH) as sender:
            sender.courier.put("a")
            assert await until_asked(clean, 3) == [b"a", b"a", b"a"]

    assert sender.lost == []
    assert [line["event"] for line in lines] == ["telemetry_does_not_arrive", "telemetry_arrives_again"]


async def test_a_receiver_that_never_answers_costs_what_does_not_fit(clean: Web, outbound: Outbound) -> None:
    async def answer(send: Send) -> None:
        await asyncio.sleep(60)

    clean.answers[PATH] = answer

    with capture_logs() as lines:
        async with sending(outbound, clean.url + PATH) as sender:
            for number in range(10):
                sender.courier.put(str(number))
            await until_asked(clean, 1)

    assert sender.lost == [1] * 7 + [3]
    assert [line["why"] for line in lines] == ["queue_full"]


async def test_nobody_there_at_the_end_is_no_reason_to_stay(outbound: Outbound) -> None:
    async with sending(outbound, f"http://127.0.0.1:{free_port()}/", batch=100) as sender:
        sender.courier.put("a")

    assert sender.lost == [1]


async def test_an_answer_without_end_is_not_read(clean: Web, outbound: Outbound) -> None:
    clean.reply(PATH, b"x" * 1_000_000)

    with capture_logs() as lines:
        async with sending(outbound, clean.url + PATH) as sender:
            sender.courier.put("a")
            await until_asked(clean, 1)

    assert [line["why"] for line in lines] == ["AnswerTooLarge"]


async def test_a_redirect_leads_nowhere(clean: Web, outbound: Outbound) -> None:
    clean.reply(PATH, status=307, headers={"location": "/elsewhere"})

    async with sending(outbound, clean.url + PATH) as sender:
        sender.courier.put("a")
        await until_asked(clean, 1)

    assert sender.lost == [1]
    assert clean.asked_for("/elsewhere") == []


async def test_what_cannot_be_written_does_not_keep_the_others(clean: Web, outbound: Outbound) -> None:
    clean.reply(PATH)

    async with sending(outbound, clean.url + PATH) as sender:
        sender.courier.put("unwritable")
        sender.courier.put("b")
        await until_asked(clean, 1)

    assert [asked.body for asked in clean.asked_for(PATH)] == [b"b"]
    assert sender.lost == [1]


async def test_a_thread_may_hand_something_in(clean: Web, outbound: Outbound) -> None:
    clean.reply(PATH)

    async with sending(outbound, clean.url + PATH) as sender:
        await asyncio.to_thread(sender.courier.put, "a")
        await until_asked(clean, 1)

    assert sender.lost == []
