"""Somebody with the page of `tests/acceptance/page` open in a real browser, and what that page has heard."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlencode
from uuid import UUID

from playwright.async_api import Browser, Locator, Page, expect

from tests.support.server import until
from tests.support.web import Web

__all__ = ["PAGE", "Heard", "Transport", "Visitor", "put_file", "put_page", "visiting"]

PAGE: Final = Path(__file__).with_name("page")
TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
LIMIT_S: Final = 20
# When it hears nothing for so long, the page takes its connection for lost. A browser comes back by itself
# before that, after a second.
PATIENCE_MS: Final = 2_500

Transport = Literal["WebSocket", "EventSource"]

# Puts notes where the test can read them: of every message with what was on the screen after it, and of every
# state a connection has had, for some last a moment only.
LISTEN = """async () => {
  const { Run } = await import(new URL("run.js", location.href));
  window.states = { WebSocket: [], EventSource: [] };
  for (const [name, states] of Object.entries(window.states)) {
    const shown = document.getElementById(name);
    new MutationObserver(() => states.push(shown.textContent)).observe(shown, { childList: true });
  }
  const receive = Run.prototype.receive;
  window.heard = [];
  Run.prototype.receive = function (message) {
    receive.call(this, message);
    window.heard.push({ run: message.runId, seq: message.seq, text: this.text });
  };
}"""


@dataclass(frozen=True)
class Heard:
    """One message, repeated or not; `text` was on the screen after it."""

    run: str
    seq: int
    text: str


class Visitor:
    """`responses` are status and path of what was answered to the page's requests."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.responses: list[tuple[int, str]] = []
        self.errors: list[str] = []
        page.on("response", lambda it: self.responses.append((it.status, it.url)))
        page.on("console", lambda it: self.errors.append(it.text) if it.type == "error" else None)
        page.on("pageerror", lambda it: self.errors.append(f"uncaught: {it}"))

    async def come(
        self,
        page_url: str,
        *,
        server_url: str,
        agent_id: UUID,
        token: str,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            settings: more that is said in the page's address.
        """
        said = {"server": server_url, "agent": str(agent_id), "patience": PATIENCE_MS, **(settings or {})}
        query = urlencode(said)
        await self.page.goto(f"{page_url}/index.html?{query}")
        await self.page.evaluate(LISTEN)
        await self.page.get_by_label("Token").fill(token)

    async def ask(self, question: str, by: Transport) -> Locator:
        """The card of a new run."""
        await self.page.get_by_label("Question").fill(question)
        await self.page.locator("form").get_by_label("Follow by").select_option(by)
        await self.page.get_by_role("button", name="Ask").click()
        return self.card(question)

    def card(self, question: str) -> Locator:
        return self.page.locator("article").filter(has=self.page.get_by_role("heading", name=question))

    async def sees_text(self, card: Locator) -> None:
        """Some of an answer has come."""
        await expect(card.get_by_role("status")).not_to_be_empty(timeout=LIMIT_S * 1000)

    async def sees_state(self, card: Locator, state: str) -> None:
        await expect(card.locator(".state")).to_have_text(state, timeout=LIMIT_S * 1000)

    async def sees(self, transport: Transport, state: str) -> None:
        """A connection has had a state that begins like this."""

        async def has_seen() -> bool:
            states: list[str] = (await self.page.evaluate("window.states"))[transport]
            return any(each.startswith(state) for each in states)

        await until(has_seen, within_s=LIMIT_S)

    async def switch(self, card: Locator, to: Transport) -> None:
        await card.get_by_label("Follow by").select_option(to)

    async def text(self, card: Locator) -> str:
        return await card.get_by_role("status").text_content() or ""

    async def heard(self) -> list[Heard]:
        # Any: what the script above has noted.
        found: list[Any] = await self.page.evaluate("window.heard")
        return [Heard(**each) for each in found]


def put_page(web: Web, *, folder: Path = PAGE) -> None:
    for file in folder.iterdir():
        put_file(web, file.name, file.read_bytes())


def put_file(web: Web, name: str, content: bytes) -> None:
    headers = {"content-type": f"{TYPES[Path(name).suffix]}; charset=utf-8"}
    web.reply(f"/{name}", content, headers=headers)


@asynccontextmanager
async def visiting(browser: Browser) -> AsyncIterator[Visitor]:
    """A person with a browser profile of their own. A failing test says where a picture of the page is."""
    async with await browser.new_context() as context:
        page = await context.new_page()
        visitor = Visitor(page)
        try:
            yield visitor
        except BaseException as error:
            path = Path(tempfile.mkdtemp(prefix="page-")) / "failed.png"
            await page.screenshot(path=path)
            error.add_note(f"what the page looked like: {path}; its errors: {visitor.errors}")
            raise
