"""The calls that the pages show, made as they stand against a running server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from foundation.db import seed
from tests.support.database import MIGRATIONS, DatabaseServer, drop, fresh_database
from tests.support.fences import blocks, commands, typed
from tests.support.model import serve_model
from tests.support.process import ROOT, ServerProcess, environment
from tests.support.shell import Ran, Shell, with_curl

ASSISTANT: Final = "00000000-0000-4000-a000-000000000001"


@pytest.fixture(scope="module")
async def shell(
    database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shell]:
    """Of a reader who has signed in."""
    demo_url, folder = await fresh_database(database_server), tmp_path_factory.mktemp("reader")
    await seed(demo_url, file=MIGRATIONS.parent / "seed.sql")
    async with serve_model() as model:
        await model.play({"reply": {"text": "Here it is."}})
        settings = {
            "DATABASE_URL": demo_url,
            "DATA_DIR": str(folder / "data"),
            "OPENAI_API_KEY": "a-key-of-this-test",
            "OPENAI_BASE_URL": model.url,
        }
        async with ServerProcess.running(**settings) as server:
            token = server.client.headers["authorization"].removeprefix("Bearer ")
            address = str(server.client.base_url).rstrip("/")
            known = {"SWITCHYARD": address, "TOKEN": token, "ACCESS_TOKEN": token, "AGENT": ASSISTANT}
            reader = with_curl(environment(known), folder)
            async with Shell.opened(ROOT, notes=folder, settings=reader) as opened:
                yield opened
    await drop(database_server, demo_url)


async def test_the_page_about_keys_makes_one_and_runs_an_agent_with_it(shell: Shell) -> None:
    (block,) = (each for each in blocks(page("keys")) if each.language == "console")
    make, use = typed(block.text)

    made = answer(await shell.run(make))
    await shell.run(f"KEY={made['key']}")
    ran = answer(await shell.run(filled_in(use)))

    assert (made["name"], made["prefix"]) == ("Nightly report", made["key"][:12])
    assert ran["response"] == "Here it is."


async def test_the_page_about_the_wire_streams_a_run(shell: Shell) -> None:
    (block,) = (each for each in blocks(page("protocol")) if each.language == "sh")
    (command,) = commands(block.text)

    ran = await shell.run(filled_in(command))

    events = [json.loads(line[5:])["type"] for line in ran.out.splitlines() if line.startswith("data:")]
    assert (events[0], events[-1]) == ("started", "done")


async def test_the_page_about_chat_opens_a_conversation(shell: Shell) -> None:
    (block,) = (each for each in blocks(page("chat")) if each.language == "sh")
    (command,) = commands(block.text)

    opened = answer(await shell.run(command.replace("localhost:8000", "$SWITCHYARD")))

    assert opened["title"] == "A week in Lisbon"


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def filled_in(command: str) -> str:
    """With an agent where the page leaves it to the reader."""
    assert command.count("…") == 1
    return command.replace("…", ASSISTANT)


# Any: a document of the wire.
def answer(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran
    document: dict[str, Any] = json.loads(ran.out)
    return document
