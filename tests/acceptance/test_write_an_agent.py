"""The pages for authors of agents and of apps: what they show is taken out of them and run.

The agent of `docs/write-an-agent.md` is started as its reader would, in a process of its own from a folder of
its own, with a scripted model and real pages on loopback.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx2
import pytest

from heavy_agents.agents import Context
from routing.wire import MESSAGES
from tests.support.model import ModelServer, Rule, serve_model
from tests.support.process import ROOT, ServerProcess, environment, free_port, until
from tests.support.tables import connected
from tests.support.web import Web, serve_web

PAGE: Final = (ROOT / "docs" / "write-an-agent.md").read_text(encoding="utf-8")
CHAT: Final = (ROOT / "docs" / "chat.md").read_text(encoding="utf-8")
FILE: Final = re.compile(r"<!-- file: (?P<name>[\w.]+) -->\n```python\n(?P<code>.*?)```\n", re.DOTALL)
SUMMARIES: Final = {"alpha": "Alpha is first.", "beta": "Beta is second.", "gamma": "Gamma is third."}

# Any: a document of the wire.
Document = dict[str, Any]


@dataclass(frozen=True)
class World:
    """What surrounds the author's folder: pages to read, a model, and a database with the demo's user."""

    folder: Path
    database_url: str
    web: Web
    model: ModelServer

    @property
    def settings(self) -> dict[str, str]:
        return {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{self.folder}",
            "DATABASE_URL": self.database_url,
            "DATA_DIR": str(self.folder / "data"),
            "OPENAI_API_KEY": "a-key-of-this-test",
            "OPENAI_BASE_URL": self.model.url,
            "FETCH_PRIVATE_HOSTS": f"127.0.0.1:{self.web.port}",
            "DIGEST_DELIVER_TO": f"{self.web.url}/digests",
        }

    @property
    def body(self) -> Document:
        return {"messages": [], "input": {"urls": [f"{self.web.url}/{name}" for name in SUMMARIES]}}

    def summaries_asked(self) -> Counter[str]:
        """How often the model was asked for each page."""
        asked = [call.body["messages"][-1]["content"] for call in self.model.log.calls]
        return Counter(name for text in asked for name in SUMMARIES if name in text)

    def times_fetched(self) -> list[int]:
        return [len(self.web.asked_for(f"/{name}")) for name in SUMMARIES]

    @asynccontextmanager
    async def started(self) -> AsyncIterator[ServerProcess]:
        """`python start.py`, ready; killed at the end if it still lives."""
        port = free_port()
        configured = {**self.settings, "PORT": str(port), "HOST": "127.0.0.1", "LOG_LEVEL": "warning"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "start.py", cwd=self.folder, env=environment(configured)
        )
        headers = {"Authorization": f"Bearer {await self._token()}"}
        address = f"http://127.0.0.1:{port}"
        client = httpx2.AsyncClient(base_url=address, headers=headers, timeout=60, trust_env=False)
        server = ServerProcess(process, client)
        try:
            await until(server.is_ready, within_s=30)
            yield server
        finally:
            await client.aclose()
            await server.kill()

    async def _token(self) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "start.py",
            "token",
            cwd=self.folder,
            env=environment(self.settings),
            stdout=asyncio.subprocess.PIPE,
        )
        token, _ = await asyncio.wait_for(process.communicate(), 30)
        return token.decode().strip()


@pytest.fixture
async def world(tmp_path: Path, demo_url: str) -> AsyncIterator[World]:
    for name, code in files().items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    async with serve_web() as web, serve_model() as model:
        for name in SUMMARIES:
            page = f"<title>About {name}</title><p>The {name} page says interesting things.</p>"
            web.reply(f"/{name}", page.encode(), headers={"content-type": "text/html"})
        web.reply("/digests", status=201)
        yield World(tmp_path, demo_url, web, model)


async def test_a_server_that_is_killed_in_the_middle_repeats_nothing_that_was_finished(world: World) -> None:
    agent_id = await make_row(world)
    cut: Rule = {
        "when": {"contains": "gamma"},
        "times": 1,
        "reply": {"text": "Gamma is wrong " * 20, "fault": {"kind": "silence", "after": 0.5}},
    }
    await world.model.play(cut, *summaries())

    async with world.started() as first:
        run_id = await first.submit({**world.body, "agentId": str(agent_id)})
        async for message in first.messages(run_id):
            if "wrong" in message.get("content", ""):
                await first.kill()
                break
    async with world.started() as second:
        messages = [message async for message in second.messages(run_id)]
        digest = (await second.client.get(f"/api/runs/{run_id}/artifacts/digest.md")).text

    document = "\n\n".join(f"## About {name}\n\n{said}" for name, said in SUMMARIES.items())
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    assert messages[-1]["type"] == "done", messages[-1]
    assert messages[-1]["response"] == digest == document
    assert messages[-1]["output"]["counts"]["words"] == [6, 6, 6]
    assert messages[-1]["output"]["isDelivered"] is True
    assert kinds(messages)["overview"] == 1
    assert kinds(messages)["tool_call"] == 3
    assert [each["step"] for each in messages if each["type"] == "retry"] == ["summary 3"]
    assert "wrong" in text(messages)
    assert shown(messages) == document
    assert world.times_fetched() == [1, 1, 1]
    assert world.summaries_asked() == {"alpha": 1, "beta": 1, "gamma": 2}
    deliveries = world.web.asked_for("/digests")
    assert [each.headers["idempotency-key"] for each in deliveries] == [f"{run_id}:deliver"]
    assert deliveries[0].body.decode() == document
    await assert_sound(world)


async def test_what_cannot_be_paid_for_is_left_out_and_what_cannot_be_read_too(world: World) -> None:
    agent_id = await make_row(world, price={"flat": 1, "per_1k_tokens": 1, "ceiling": 2})
    world.web.reply("/alpha", b"gone", status=404)
    dear: Rule = {
        "when": {"contains": "beta"},
        "reply": {"text": "Beta.", "usage": {"prompt_tokens": 800, "completion_tokens": 10}},
    }
    await world.model.play(dear, *summaries())

    async with world.started() as server:
        run_id = await server.submit({**world.body, "agentId": str(agent_id)})
        messages = [message async for message in server.messages(run_id)]
        body = {"agentId": str(agent_id), "messages": [], "input": {"urls": []}}
        wrong = await server.client.post("/api/agent/execute", json=body)

    assert messages[-1]["response"] == "## About beta\n\nBeta."
    assert messages[-1]["creditsUsed"] == 2
    assert world.summaries_asked() == {"beta": 1}
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "input.urls"
    await assert_sound(world)


def test_the_page_has_all_of_the_context_and_nothing_else() -> None:
    offered = {name for name, _ in inspect.getmembers(Context) if not name.startswith("_")}

    assert set(re.findall(r"\| `(?:await )?ctx\.(\w+)", PAGE)) == offered
    assert set(re.findall(r"\bctx\.(\w+)", PAGE)) <= offered


def test_the_code_of_the_page_is_written_as_ours_is(tmp_path: Path) -> None:
    for name, code in files().items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    # The author's own file is as much at home there as ours are.
    home = "lint.isort.known-first-party = ['digest']"
    options = ["--config", str(ROOT / "pyproject.toml"), "--config", home, "--no-cache", str(tmp_path)]

    for verb in (["check"], ["format", "--diff"]):
        command = [sys.executable, "-m", "ruff", *verb, *options]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_message_a_client_gets_is_described() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section(CHAT, "What a client sees"), re.MULTILINE)
    described = set(rows) - {"type"}  # the head of the table

    assert described == {name for name, _, _ in MESSAGES.values()}


def test_the_json_of_the_pages_is_json() -> None:
    blocks = snippets(CHAT, "json")

    assert blocks
    for block in blocks:
        json.loads(block)


async def test_the_sql_of_the_pages_runs_on_the_demo_database(demo_url: str) -> None:
    blocks = [*snippets(CHAT, "sql"), *snippets(PAGE, "sql")]

    assert len(blocks) > 1
    async with connected(demo_url) as sql:
        for block in blocks:
            assert await sql.fetch(block), f"it changed nothing: {block}"


def files() -> dict[str, str]:
    return {found["name"]: found["code"] for found in FILE.finditer(PAGE)}


def snippets(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def section(page: str, heading: str) -> str:
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def summaries() -> list[Rule]:
    return [{"when": {"contains": name}, "reply": {"text": said}} for name, said in SUMMARIES.items()]


async def make_row(world: World, *, price: Document | None = None) -> UUID:
    """The row of the page; with `price` instead of its own."""
    (statement,) = snippets(PAGE, "sql")
    async with connected(world.database_url) as sql:
        made: UUID = await sql.fetchval(statement)
        if price is not None:
            await sql.execute("update public.agents set price = $1 where id = $2", price, made)
    return made


def kinds(messages: list[Document]) -> Counter[str]:
    return Counter(message["type"] for message in messages)


def text(messages: list[Document]) -> str:
    """All that was ever streamed, in order, retried or not."""
    return "".join(message["content"] for message in messages if message["type"] == "chunk")


def shown(messages: list[Document]) -> str:
    """What is on a screen that follows the page's rule for `retry`."""
    kept: list[Document] = []
    for message in messages:
        if message["type"] == "chunk":
            kept.append(message)
        elif message["type"] == "retry":
            kept = [
                each
                for each in kept
                if each.get("step") != message["step"] or each["seq"] <= message["discardAfter"]
            ]
    return text(kept)


async def assert_sound(world: World) -> None:
    async with connected(world.database_url) as sql:
        assert await sql.fetchval("select public.switchyard_audit()") == []
