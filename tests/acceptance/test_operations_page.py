"""The pages for operators, done as they stand: commands, SQL, and the drill of losing a database."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import pytest

from foundation.db.embedded.binaries import installed
from tests.support.checkout import checkout
from tests.support.fences import blocks, commands
from tests.support.model import ModelServer, Rule, serve_model
from tests.support.process import DEMO_USER, ROOT, ServerProcess, environment, until
from tests.support.shell import Ran, Shell, with_curl
from tests.support.tables import connected

PAGE: Final = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
DEPLOYING: Final = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
ASSISTANT: Final = "00000000-0000-4000-a000-000000000001"
METRICS_TOKEN: Final = "the-metrics-token-of-this-test"
SECRET: Final = "the-service-secret-of-this-test-0123456789"
OF_DATA: Final = (
    "select format('%I.%I', table_schema, table_name) from information_schema.tables"
    " where table_schema in ('auth', 'public', 'switchyard') and table_type = 'BASE TABLE'"
)

# They need what is not here, or are shown for their shape.
NOT_TYPED: Final = ("openssl",)

HELD_UP: Final[Rule] = {"when": {"contains": "slowly"}, "reply": {"text": "Not yet.", "before_head_s": 600}}
QUICK: Final[Rule] = {"reply": {"text": "Here it is."}}


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with serve_model() as model:
        await model.play(HELD_UP, QUICK)
        yield model


@pytest.fixture
def settings(model: ModelServer, demo_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": demo_url,
        "DATA_DIR": str(tmp_path / "data"),
        "OPENAI_API_KEY": "a-key-of-this-test",
        "OPENAI_BASE_URL": model.url,
        "METRICS_TOKEN": METRICS_TOKEN,
        "RAILWAY_BACKEND_SECRET": SECRET,
    }


async def test_its_commands_and_its_sql_tell_what_they_say_of_a_run(
    settings: dict[str, str], tmp_path: Path
) -> None:
    """In the order of the page, which ends with the erasure of the user."""
    async with ServerProcess.running(**settings) as server:
        run_id = await ask(server, "quickly")
        told = {
            **settings,
            "SWITCHYARD": str(server.client.base_url),
            "ACCOUNT": str(DEMO_USER),
            "RUN": run_id,
        }
        async with shell_for(told, ROOT, tmp_path) as shell:
            curls = [(await shell.run(command)) for command in lookings()]
            queries = [
                await query(block.text, shell, tmp_path) for block in blocks(PAGE) if block.language == "sql"
            ]

    assert [ran for ran in (*curls, *queries) if ran.code != 0] == []
    assert [ran for ran in curls if '"status":4' in ran.out] == []
    assert "turn-1" in queries[0].out
    assert len(queries) > 10
    async with connected(settings["DATABASE_URL"]) as sql:
        assert await sql.fetchval("select count(*) from switchyard.runs where user_id = $1", DEMO_USER) == 0
        assert await sql.fetchval("select public.switchyard_audit()") == []


async def test_what_was_dumped_and_restored_is_whole_and_goes_on(
    settings: dict[str, str], empty_database_url: str, model: ModelServer, tmp_path: Path
) -> None:
    restored = {**settings, "DATABASE_URL": empty_database_url}
    with checkout() as home:
        told = {**settings, "NEW_DATABASE_URL": empty_database_url}
        async with shell_for(told, home, tmp_path) as shell:
            async with ServerProcess.running(**settings) as server:
                await ask(server, "quickly")
                going_on = await server.submit(body("slowly"))
                await until(lambda: is_running(settings, going_on), within_s=10)
                for command in drill("backup"):
                    assert (await shell.run(command)).code == 0
                before = await counted(settings)
            ran = [await shell.run(command) for command in drill("restore")]

    assert [each for each in ran if each.code != 0] == []
    assert ran[-1].out.strip() == "[]"
    assert await counted(restored) == before
    await model.play(QUICK)
    async with ServerProcess.running(**restored) as server:
        *_, last = [message async for message in server.messages(going_on)]
    assert (last["type"], last["response"], last["creditsUsed"]) == ("done", "Here it is.", 1)
    async with connected(empty_database_url) as sql:
        assert await sql.fetchval("select public.switchyard_audit()") == []
        assert await sql.fetchval("select held from public.credit_balances") == 0


async def test_a_first_user_gets_credits_and_an_agent_by_the_sql_of_the_page(database_url: str) -> None:
    (text,) = (block.text for block in blocks(DEPLOYING) if block.language == "sql")
    async with connected(database_url) as sql:
        user_id = await sql.fetchval(
            "insert into auth.users (id, email) values (gen_random_uuid(), 'you@example.com') returning id"
        )

        await sql.execute(text)

        credits_of = await sql.fetchval("select public.switchyard_credits_get($1)", user_id)
        (agent,) = await sql.fetchval("select public.switchyard_agents_list($1)", user_id)
        assert await sql.fetchval("select public.switchyard_audit()") == []
    assert (credits_of["available"], credits_of["plan"]) == (100, "pro")
    assert (agent["name"], agent["kind"], agent["is_heavy"]) == ("Research assistant", "chat", True)


def body(question: str) -> dict[str, object]:
    return {"agentId": ASSISTANT, "messages": [{"role": "user", "content": question}]}


async def ask(server: ServerProcess, question: str) -> str:
    """The id of a run that has succeeded."""
    answer = await server.client.post("/api/agent/execute", json=body(question))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["runId"])


async def is_running(settings: dict[str, str], run_id: str) -> bool:
    async with connected(settings["DATABASE_URL"]) as sql:
        begun: int = await sql.fetchval("select count(*) from switchyard.calls where run_id = $1", run_id)
    return begun > 0


async def counted(settings: dict[str, str]) -> dict[str, int]:
    """How many rows every table has."""
    async with connected(settings["DATABASE_URL"]) as sql:
        names = [row[0] for row in await sql.fetch(OF_DATA)]
        return {name: await sql.fetchval(f"select count(*) from {name}") for name in names}  # noqa: S608


def shell_for(told: dict[str, str], folder: Path, notes: Path) -> AbstractAsyncContextManager[Shell]:
    """A shell with the programs of Postgres, which come with the embedded one."""
    wanted = environment(told)
    wanted["PATH"] = f"{installed().program('psql').parent}{os.pathsep}{wanted['PATH']}"
    return Shell.opened(folder, notes=notes, settings=with_curl(wanted, notes))


async def query(text: str, shell: Shell, notes: Path) -> Ran:
    file = notes / "query.sql"
    file.write_text(text, encoding="utf-8")
    told = '--set=ON_ERROR_STOP=1 --set=run="$RUN" --set=account="$ACCOUNT"'
    return await shell.run(f'psql "$DATABASE_URL" --no-psqlrc {told} --file={file}')


def lookings() -> list[str]:
    """Every command that is not part of the drill."""
    page = re.sub(r"<!-- drill: \w+ -->\n\n```sh\n.*?```", "", PAGE, flags=re.DOTALL)
    every = (command for block in blocks(page) if block.language == "sh" for command in commands(block.text))
    return [command for command in every if not command.startswith(NOT_TYPED)]


def drill(part: str) -> list[str]:
    (found,) = re.findall(rf"<!-- drill: {part} -->\n\n```sh\n(.*?)```", PAGE, re.DOTALL)
    return list(commands(found))
