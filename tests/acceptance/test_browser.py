"""A page in a real browser, with plain `WebSocket` and plain `EventSource`, through networks that fail.

The page is served from another origin than the server, as a front end is, and every byte between the two goes
through a relay.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Locator

from routing.socket.connection import Tempo
from tests.acceptance.visitor import Transport, Visitor, put_page, visiting
from tests.support.browser import browsing
from tests.support.chat import ChatServer, chatting
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.model import Rule
from tests.support.relay import Relay, relaying
from tests.support.server import Person, until
from tests.support.sockets import served_door
from tests.support.web import Web, serve_web

TRANSPORTS: Final[tuple[Transport, Transport]] = ("WebSocket", "EventSource")
# One for each, so that no run's text can pass for the other's.
ANSWERS: Final = {name: " ".join(f"{name}-{number}" for number in range(80)) for name in TRANSPORTS}
# Of what two runs are told in about 10,000 bytes.
MIDDLE_BYTES: Final = 2_000

Loss = Literal["cut", "silence"]
Cards = dict[Transport, Locator]


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
async def page_web() -> AsyncIterator[Web]:
    """Where the page comes from."""
    async with serve_web() as web:
        put_page(web)
        yield web


@pytest.fixture(scope="module")
async def chat(database_server: DatabaseServer, page_web: Web) -> AsyncIterator[ChatServer]:
    url = await fresh_database(database_server)
    async with chatting(url, allowed_origins=page_web.url) as chat:
        yield chat
    await drop(database_server, url)


@pytest.fixture
async def relay(chat: ChatServer) -> AsyncIterator[Relay]:
    async with relaying(port_of(chat.server.url)) as relay:
        yield relay


@pytest.fixture
async def person(chat: ChatServer) -> AsyncIterator[Person]:
    async with chat.server.person() as somebody:
        yield somebody
    assert await chat.server.sql.fetchval("select public.switchyard_audit()") == []


@pytest.fixture
async def visitor(
    browser: Browser, chat: ChatServer, relay: Relay, person: Person, page_web: Web
) -> AsyncIterator[Visitor]:
    """`person` on the page, with a model that takes its time."""
    rules: list[Rule] = [
        {"when": {"contains": name}, "reply": {"text": ANSWERS[name], "between_s": 0.015}} for name in ANSWERS
    ]
    await chat.model.play(*rules)
    agent_id = await chat.agent(person.id)
    async with visiting(browser) as visitor:
        await visitor.come(page_web.url, server_url=relay.url, agent_id=agent_id, token=person.token)
        yield visitor


async def test_a_page_shows_answers_as_they_come(visitor: Visitor, person: Person) -> None:
    cards = await ask_by_both(visitor)

    for card in cards.values():
        await visitor.sees_text(card)
    await assert_whole(visitor, person, cards)
    assert visitor.errors == []


@pytest.mark.parametrize("loss", ["cut", "silence"])
async def test_a_page_that_loses_its_network_comes_back_and_shows_every_word_once(
    visitor: Visitor, relay: Relay, person: Person, loss: Loss
) -> None:
    cards = await ask_by_both(visitor)
    async with lost_in_the_middle(visitor, relay, cards, loss):
        for transport in cards:
            await visitor.sees(transport, "lost")

    await assert_whole(visitor, person, cards)
    if loss == "cut":
        # The page did nothing for it: the browser asked the same address again, with `Last-Event-ID`.
        assert {url.partition("?")[2][:8] for status, url in visitor.responses if "/events" in url} == {
            "after=0&"
        }


async def test_a_page_goes_on_by_the_other_transport_after_a_loss(
    visitor: Visitor, relay: Relay, person: Person
) -> None:
    cards = await ask_by_both(visitor)
    async with lost_in_the_middle(visitor, relay, cards, "cut"):
        await visitor.switch(cards["WebSocket"], to="EventSource")
        await visitor.switch(cards["EventSource"], to="WebSocket")

    await assert_whole(visitor, person, cards)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_run_cancelled_without_a_network_is_cancelled_and_no_other_is(
    visitor: Visitor, relay: Relay, chat: ChatServer, person: Person, transport: Transport
) -> None:
    await chat.model.play({"reply": {"text": ANSWERS[transport], "between_s": 0.03}})
    kept = await visitor.ask("Keep this.", transport)
    dropped = await visitor.ask("Drop this.", transport)
    async with lost_in_the_middle(visitor, relay, {transport: dropped}, "cut"):
        await dropped.get_by_role("button", name="Cancel").click()
        await visitor.sees_state(dropped, "cancelling")

    await visitor.sees_state(dropped, "cancelled")
    await assert_whole(visitor, person, {transport: kept})
    assert sorted(run["status"] for run in await runs_of(person)) == ["cancelled", "succeeded"]


async def test_an_order_whose_answer_was_lost_is_one_run(
    visitor: Visitor, relay: Relay, person: Person
) -> None:
    # The orders go out; of what comes back, no more than a few bytes do.
    relay.cut_after(10, toward="client")
    cards = await ask_by_both(visitor)
    await relay.until_cut()
    await relay.restore()

    await assert_whole(visitor, person, cards)
    assert len(await runs_of(person)) == len(cards)


async def test_a_browser_that_is_told_it_is_offline_comes_back(visitor: Visitor, person: Person) -> None:
    first = await visitor.ask("Ask the WebSocket", "WebSocket")
    await visitor.sees_text(first)
    await visitor.page.context.set_offline(True)
    # What streams already goes on in there; what is new has no network.
    second = await visitor.ask("Ask the EventSource", "EventSource")
    await visitor.sees("WebSocket", "lost (offline)")
    await visitor.sees("EventSource", "lost")
    assert len(await runs_of(person)) == 1
    await visitor.page.context.set_offline(False)

    await assert_whole(visitor, person, {"WebSocket": first, "EventSource": second})


async def test_a_page_meets_the_next_server_after_a_restart(
    visitor: Visitor, chat: ChatServer, relay: Relay, person: Person
) -> None:
    next_port = relay.target_port
    async with served_door(chat.server, Tempo()) as door:
        relay.target_port = port_of(door.url)
        card = await visitor.ask("Ask the WebSocket", "WebSocket")
        await visitor.sees_text(card)
        relay.target_port = next_port
    await visitor.sees("WebSocket", "lost (1012)")

    await assert_whole(visitor, person, {"WebSocket": card})


async def test_the_browser_stops_for_good_when_there_is_nothing_more(
    visitor: Visitor, person: Person
) -> None:
    card = await visitor.ask("Ask the EventSource", "EventSource")
    await visitor.sees("EventSource", "closed")

    asked = [(status, url) for status, url in visitor.responses if "/events" in url]
    assert [status for status, _ in asked] == [200, 204]
    await assert_whole(visitor, person, {"EventSource": card})


async def test_a_page_of_another_origin_gets_nothing(
    visitor: Visitor, relay: Relay, chat: ChatServer, person: Person
) -> None:
    before = await chat.server.counts()
    async with serve_web() as elsewhere:
        put_page(elsewhere)
        agent_id = await chat.agent(person.id)
        await visitor.come(elsewhere.url, server_url=relay.url, agent_id=agent_id, token=person.token)
        cards = await ask_by_both(visitor)

        await visitor.sees("WebSocket", "refused (4403)")
        await visitor.sees_state(cards["WebSocket"], "closed 4403")
        await visitor.sees("EventSource", "lost")

    assert "blocked by CORS policy" in visitor.errors[0]
    assert await chat.server.counts() == before
    assert await visitor.heard() == []


async def test_a_page_is_told_that_its_token_is_refused(visitor: Visitor) -> None:
    await visitor.page.get_by_label("Token").fill("no-token-at-all")
    cards = await ask_by_both(visitor)

    await visitor.sees_state(cards["WebSocket"], "closed 4401")
    await visitor.sees_state(cards["EventSource"], "invalid_token")


async def ask_by_both(visitor: Visitor) -> Cards:
    return {name: await visitor.ask(f"Ask the {name}", name) for name in TRANSPORTS}


@asynccontextmanager
async def lost_in_the_middle(visitor: Visitor, relay: Relay, cards: Cards, loss: Loss) -> AsyncIterator[None]:
    """Inside the block there is no network; after it there is."""
    for card in cards.values():
        await visitor.sees_text(card)
    if loss == "cut":
        relay.cut_after(MIDDLE_BYTES, toward="client")
        await relay.until_cut()
    else:
        relay.silence()
    for card in cards.values():
        await visitor.sees_state(card, "running")
    yield
    await relay.restore()


async def assert_whole(visitor: Visitor, person: Person, cards: Cards) -> None:
    """The runs have ended well, and on the screen was and is exactly what their logs hold."""
    for card in cards.values():
        await visitor.sees_state(card, "done")
    logs = [
        await log_of(person, run["runId"]) for run in await runs_of(person) if run["status"] == "succeeded"
    ]
    answered = {events[-1]["response"]: events for events in logs}
    assert set(answered) == {ANSWERS[name] for name in cards}
    for name, card in cards.items():
        events = answered[ANSWERS[name]]
        heard = [each for each in await visitor.heard() if each.run == events[0]["runId"]]

        assert [each.seq for each in heard] == [event["seq"] for event in events]
        assert [each.text for each in heard] == texts_of(events)
        assert await visitor.text(card) == ANSWERS[name] == texts_of(events)[-2]


# Any: documents of the wire.
def texts_of(events: list[dict[str, Any]]) -> list[str]:
    """What is on a screen after each of them."""
    said = [event.get("content", "") for event in events[:-1]]
    return ["".join(said[: number + 1]) for number in range(len(said))] + [events[-1]["response"]]


# Any: documents of the wire.
async def runs_of(person: Person) -> list[dict[str, Any]]:
    """Once all of them have ended."""

    async def found() -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = (await person.client.get("/api/runs")).json()["runs"]
        return runs

    async def all_ended() -> bool:
        return all(run["status"] not in {"queued", "running"} for run in await found())

    await until(all_ended, within_s=20)
    return await found()


# Any: documents of the wire.
async def log_of(person: Person, run_id: str) -> list[dict[str, Any]]:
    answer = await person.client.get(f"/api/runs/{run_id}/events", headers={"Accept": "application/json"})
    document = answer.json()
    assert document["isTerminal"]
    events: list[dict[str, Any]] = document["events"]
    return events


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
