"""A page of an app on Supabase in a real browser: its account by supabase-js, its runs by plain `WebSocket`.

supabase-js is the one from npm, served from the page's own origin, and asks the real PostgREST across
origins; the network to our server goes through a relay that fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.acceptance.visitor import PAGE, Visitor, put_file, put_page, visiting
from tests.support.browser import browsing
from tests.support.chat import ChatServer, chatting
from tests.support.database import DatabaseServer, drop, fresh_database
from tests.support.front_project import PUBLIC_KEY, FrontProject, front_project
from tests.support.npm import installed
from tests.support.relay import Relay, relaying
from tests.support.server import Person
from tests.support.web import Web, serve_web

VERSION: Final = "2.119.1"
ACCOUNT: Final = Path(__file__).with_name("account")
WORDS: Final = " ".join(f"word-{number}" for number in range(80))
# Of what the page is told in about 10,000 bytes.
MIDDLE_BYTES: Final = 2_000

Loss = Literal["cut", "offline"]


class Address(NamedTuple):
    """Three origins."""

    page: str
    server: str
    project: str


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
async def page_web() -> AsyncIterator[Web]:
    """The page of the other tests, with the account beside it."""
    home = await asyncio.to_thread(installed, "@supabase/supabase-js", VERSION)
    library = home / "node_modules" / "@supabase" / "supabase-js" / "dist" / "umd" / "supabase.js"
    page, panel = (file.read_text(encoding="utf-8") for file in (PAGE / "index.html", ACCOUNT / "panel.html"))
    scripts = '<script src="supabase.js"></script><script type="module" src="account.js"></script>'
    async with serve_web() as web:
        put_page(web)
        put_page(web, folder=ACCOUNT)
        put_file(web, "supabase.js", library.read_bytes())
        put_file(web, "index.html", page.replace("</main>", f"{panel}</main>{scripts}").encode())
        yield web


@pytest.fixture(scope="module")
async def database_url(database_server: DatabaseServer) -> AsyncIterator[str]:
    url = await fresh_database(database_server)
    yield url
    await drop(database_server, url)


@pytest.fixture(scope="module")
async def chat(database_url: str, page_web: Web) -> AsyncIterator[ChatServer]:
    async with chatting(database_url, allowed_origins=page_web.url) as chat:
        yield chat


@pytest.fixture(scope="module")
async def project(database_url: str, chat: ChatServer) -> AsyncIterator[FrontProject]:
    async with front_project(database_url, chat.server) as project:
        yield project


@pytest.fixture
async def relay(chat: ChatServer) -> AsyncIterator[Relay]:
    port = urlsplit(chat.server.url).port
    assert port is not None
    async with relaying(port) as relay:
        yield relay


@pytest.fixture
def address(page_web: Web, relay: Relay, project: FrontProject) -> Address:
    return Address(page_web.url, relay.url, project.url)


@pytest.fixture
async def person(chat: ChatServer) -> AsyncIterator[Person]:
    async with chat.server.person(balance=10) as somebody:
        yield somebody
    assert await chat.server.sql.fetchval("select public.switchyard_audit()") == []


@pytest.fixture
async def agent_id(chat: ChatServer, person: Person) -> UUID:
    """Of an agent with much to say, at 2 credits."""
    await chat.model.play({"reply": {"text": WORDS, "between_s": 0.015}})
    return await chat.agent(person.id, price={"flat": 2})


@pytest.fixture
async def visitor(
    browser: Browser, address: Address, person: Person, agent_id: UUID
) -> AsyncIterator[Visitor]:
    async with visiting(browser) as visitor:
        await visitor.come(
            address.page,
            server_url=address.server,
            agent_id=agent_id,
            token=person.token,
            settings={"project": address.project, "key": PUBLIC_KEY},
        )
        yield visitor


@pytest.mark.parametrize("loss", ["cut", "offline"])
async def test_a_run_is_dropped_resumed_and_paid_once(visitor: Visitor, relay: Relay, loss: Loss) -> None:
    await sees_account(visitor, balance=10, held=0, used="")
    card = await visitor.ask("Say it all.", "WebSocket")
    await visitor.sees_text(card)
    await sees_account(visitor, balance=10, held=2, used="")

    async with lost(visitor, relay, loss):
        await visitor.sees("WebSocket", "lost")
        await visitor.sees_state(card, "running")

    await visitor.sees_state(card, "done")
    await assert_every_word_once(visitor, card)
    await sees_account(visitor, balance=8, held=0, used="2")
    assert [each for each in visitor.errors if "Content Security Policy" in each] == []


async def test_a_run_is_cancelled_and_what_was_held_is_settled(visitor: Visitor) -> None:
    card = await visitor.ask("Say it all.", "WebSocket")
    await visitor.sees_text(card)
    await card.get_by_role("button", name="Cancel").click()

    await visitor.sees_state(card, "cancelled")
    await sees_account(visitor, balance=8, held=0, used="2")
    assert await visitor.text(card) != WORDS
    assert visitor.errors == []


async def test_a_page_invokes_the_function_and_is_answered_or_told_where_the_run_is(
    visitor: Visitor, chat: ChatServer, project: FrontProject, person: Person, agent_id: UUID
) -> None:
    await chat.model.play({"reply": {"text": "At nine."}})
    light = await chat.agent(person.id, is_heavy=False, price={"flat": 3})

    answered = await invoke(visitor, light)
    run = await invoke(visitor, agent_id)
    unknown = await invoke(visitor, uuid4())
    await visitor.page.get_by_label("Token").fill("")
    nobody = await invoke(visitor, light)

    assert (answered["data"]["response"], answered["data"]["creditsUsed"]) == ("At nine.", 3)
    assert "runId" not in answered["data"]
    assert (run["data"]["response"], run["data"]["creditsUsed"]) == ("At nine.", 2)
    assert (await person.client.get(f"/api/runs/{run['data']['runId']}")).json()["status"] == "succeeded"
    assert [(each["status"], each["problem"]["code"]) for each in (unknown, nobody)] == [
        (404, "agent_not_found"),
        (401, "invalid_token"),
    ]
    assert ("OPTIONS", "agent-runtime") in project.asked
    await visitor.page.get_by_label("Token").fill(person.token)
    await sees_account(visitor, balance=5, held=0, used="3 2")


async def test_a_page_cannot_pay_itself(visitor: Visitor, person: Person) -> None:
    refused = [
        await ask_project(visitor, f"from('credit_balances').{call}")
        for call in (
            f"update({{ credits_remaining: 1000 }}).eq('user_id', '{person.id}')",
            f"insert({{ user_id: '{person.id}', credits_remaining: 1000 }})",
            f"delete().eq('user_id', '{person.id}')",
        )
    ] + [
        await ask_project(visitor, f"rpc('{call}")
        for call in (
            f"deduct_credits', {{ p_user_id: '{person.id}', p_credits: 1 }})",
            f"switchyard_credits_release', {{ p_user_id: '{person.id}', p_key: 'x' }})",
            f"has_role', {{ p_user_id: '{person.id}', p_role: 'admin' }})",
            f"get_admin_stats', {{ p_user_id: '{person.id}' }})",
        )
    ]

    assert [(each["status"], each["error"]["code"]) for each in refused] == [(403, "42501")] * 7
    await sees_account(visitor, balance=10, held=0, used="")


async def test_a_page_sees_its_own_account_and_nobody_elses(
    visitor: Visitor, chat: ChatServer, project: FrontProject
) -> None:
    async with chat.server.person(balance=77):
        everything = await ask_project(visitor, "from('credit_balances').select('credits_remaining')")
    await visitor.page.get_by_label("Token").fill("")
    nobody = await ask_project(visitor, "from('credit_balances').select('credits_remaining')")

    assert (everything["status"], everything["data"]) == (200, [{"credits_remaining": 10}])
    assert (nobody["status"], nobody["error"]["code"]) == (401, "42501")
    # The browser asked whether it may, and PostgREST said so.
    assert ("OPTIONS", "credit_balances") in project.asked


async def sees_account(visitor: Visitor, *, balance: int, held: int, used: str) -> None:
    """As supabase-js has read it just now."""
    for name in ("balance", "held", "used"):
        await visitor.page.evaluate(f"document.getElementById('{name}').textContent = '…'")
    await visitor.page.get_by_role("button", name="Look").click()
    for name, value in {"balance": balance, "held": held, "used": used}.items():
        await expect(visitor.page.locator(f"#{name}")).to_have_text(str(value), timeout=20_000)
    assert await visitor.page.locator("#refusal").text_content() == ""


@asynccontextmanager
async def lost(visitor: Visitor, relay: Relay, loss: Loss) -> AsyncIterator[None]:
    """Inside the block there is no network to our server; after it there is."""
    if loss == "cut":
        relay.cut_after(MIDDLE_BYTES, toward="client")
        await relay.until_cut()
        yield
        await relay.restore()
    else:
        await visitor.page.context.set_offline(True)
        yield
        await visitor.page.context.set_offline(False)


async def assert_every_word_once(visitor: Visitor, card: Locator) -> None:
    heard = await visitor.heard()
    assert [each.seq for each in heard] == list(range(1, len(heard) + 1))
    assert len({each.run for each in heard}) == 1
    assert await visitor.text(card) == WORDS


# Any: an answer of supabase-js, with the document of a refusal beside it.
async def invoke(visitor: Visitor, agent_id: UUID) -> dict[str, Any]:
    answer: dict[str, Any] = await visitor.page.evaluate(
        """async (agentId) => {
          const body = { agentId, messages: [{ role: "user", content: "When?" }] };
          const { data, error, response } = await window.project.functions.invoke("agent-runtime", { body });
          return { data, status: response?.status, problem: await error?.context?.json() };
        }""",
        str(agent_id),
    )
    return answer


# Any: an answer of supabase-js.
async def ask_project(visitor: Visitor, call: str) -> dict[str, Any]:
    answer: dict[str, Any] = await visitor.page.evaluate(
        f"async () => {{ const {{ data, error, status }} = await window.project.{call};"
        " return { data, error, status }; }"
    )
    return answer
