"""The README's commands, typed as they stand by somebody who has just fetched the project.

What a person puts in themselves is put in here, in one place each: the port, where 8000 is not free to tests
(`as_typed`); what stands as `…` (`FILLED_IN`); and `RUN`, as the page says. A command that cannot be typed
here is in `NOT_TYPED`, with the reason; every other one is typed, and has to end as `ANSWERS` says or with 0.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx2
import pytest

from tests.support.checkout import checkout
from tests.support.fences import Block, blocks, commands, inline
from tests.support.model import ModelServer, serve_model
from tests.support.process import ROOT, environment, free_port, until
from tests.support.shell import Ran, Served, Shell, with_curl
from tests.support.tables import connected
from tests.support.tokens import TokenForge
from tests.support.web import serve_web

PAGE: Final = (ROOT / "README.md").read_text(encoding="utf-8")
SERVING: Final = "It keeps serving on"
CONTROL_C: Final = 0

FILLED_IN: Final = {
    "OPENAI_API_KEY=…": "OPENAI_API_KEY=a-key-of-this-test",
    "DEFAULT_MODEL=…": "DEFAULT_MODEL=scripted",
}

# By the program that a command begins with.
NOT_TYPED: Final = {
    "git": "the project is here already",
    "docker": "wants a container engine; the image has tests of its own",
    "npm": "brings what is not this project's",
    "npx": "brings what is not this project's",
    "railway": "wants an account at Railway",
    "supabase": "wants an account at Supabase",
    "scripts/railway-setup.sh": "wants accounts at both; it has tests of its own",
    "scripts/verify-deployment.sh": "asks a deployment over the network; it has tests of its own",
}

# Any: JSON of the wire.
Document = dict[str, Any]


def credits_are_told(ran: Ran) -> None:
    assert json.loads(ran.out)["available"] == 49


def the_demo_is_listed(ran: Ran) -> None:
    (run,) = json.loads(ran.out)["runs"]
    assert (run["status"], run["creditsUsed"]) == ("succeeded", 1)


def the_rest_is_streamed(ran: Ran) -> None:
    assert [message["seq"] for message in streamed(ran)] == [8, 9, 10]
    assert [message["type"] for message in streamed(ran)] == ["artifact", "artifact", "done"]


def the_receipt_adds_up(ran: Ran) -> None:
    assert [entry["kind"] for entry in json.loads(ran.out)["entries"]] == ["hold", "settle"]


def three_days_are_forecast(ran: Ran) -> None:
    done = streamed(ran)[-1]
    assert (done["type"], done["creditsUsed"]) == ("done", 1)
    assert "2026-03-16" in done["response"]


def agents_are_named(ran: Ran) -> None:
    assert ran.err.strip().endswith("Forecaster, Receptionist, Research assistant")


def nothing_is_wrong(ran: Ran) -> None:
    assert ran.out.splitlines()[-1] == "nothing is wrong"


def it_used_a_tool_and_answered(ran: Ran) -> None:
    messages = streamed(ran)
    assert {message["type"] for message in messages} == {
        "started",
        "chunk",
        "tool_call",
        "tool_result",
        "done",
    }
    assert messages[-1]["response"] == "It is Friday in Kolkata."


def a_token(ran: Ran) -> None:
    assert (ran.out, ran.err) == ("", "")


@dataclass(frozen=True)
class Answer:
    """What a command that has `part` in it ends with."""

    part: str
    check: Callable[[Ran], None]
    code: int = 0


# The first that fits; a later one may be part of an earlier one.
ANSWERS: Final = (
    Answer("export TOKEN=", a_token),
    Answer("/api/credits", credits_are_told),
    Answer("/events", the_rest_is_streamed),
    Answer("/receipt", the_receipt_adds_up),
    Answer("/api/runs", the_demo_is_listed),
    Answer("What comes next?", three_days_are_forecast),
    Answer("What day is it in Kolkata", it_used_a_tool_and_answered),
    Answer("railway_server.py run", agents_are_named, code=2),
    Answer("railway_server.py doctor", nothing_is_wrong),
)


@dataclass
class Reader:
    """Somebody with the project in a folder of theirs and two terminals."""

    home: Path
    notes: Path
    settings: dict[str, str]
    terminals: AsyncExitStack
    server: Served | None = None
    answered: frozenset[str] = frozenset()

    async def start(self, command: str) -> Served:
        """The server's own terminal: what ran there before is ended."""
        if self.server is not None:
            assert await self.server.interrupt() == CONTROL_C
        running = Served.running(
            self.as_typed(command), folder=self.home, notes=self.notes, settings=self.settings, ready=SERVING
        )
        self.server = await self.terminals.enter_async_context(running)
        return self.server

    async def type(self, command: str, shell: Shell) -> None:
        ran = await shell.run(self.as_typed(command))
        answer = next((each for each in ANSWERS if each.part in command), None)
        assert ran.code == (answer.code if answer else 0), ran
        if answer is None:
            return
        answer.check(ran)
        self.answered |= {answer.part}
        if answer.check is the_demo_is_listed:
            # "Put a `runId` of the second answer into `RUN`."
            await shell.run(f"RUN={json.loads(ran.out)['runs'][0]['runId']}")

    def as_typed(self, command: str) -> str:
        for shown, meant in {**FILLED_IN, "localhost:8000": f"localhost:{self.settings['PORT']}"}.items():
            command = command.replace(shown, meant)
        typed = " ".join(shlex.split(command, comments=True))
        assert "…" not in typed, f"nobody knows what to fill in: {command}"
        return command


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with serve_model() as model:
        await model.play(
            {
                "when": {"role": "user", "contains": "Kolkata"},
                "reply": {
                    "text": "I look. ",
                    "tool_calls": [{"name": "now", "arguments": {"timezone": "Asia/Kolkata"}}],
                },
            },
            {"when": {"role": "tool"}, "reply": {"text": "It is Friday in Kolkata."}},
        )
        yield model


@pytest.fixture
async def reader(model: ModelServer, tmp_path: Path) -> AsyncIterator[Reader]:
    with checkout() as home:
        chosen = {"PORT": str(free_port()), "HOST": "127.0.0.1", "OPENAI_BASE_URL": model.url}
        settings = with_curl(environment(chosen), tmp_path)
        async with AsyncExitStack() as terminals:
            yield Reader(home, tmp_path, settings, terminals)


async def test_every_command_can_be_typed_as_it_stands(reader: Reader) -> None:
    first, transcript = first_blocks()
    start, test = (command.partition(" ")[0] for command in commands(first.text))
    assert (start, test) == ("scripts/start", "scripts/test")

    said = (await reader.start(start)).said
    async with Shell.opened(reader.home, notes=reader.notes, settings=reader.settings) as shell:
        for command in to_type():
            if "scripts/start" in command:
                await reader.start(command)
            else:
                await reader.type(command, shell)
        # The whole suite, of which this is a test, is not run again.
        ran = await shell.run(f"{test} format")

    assert what_was_seen(said, reader.settings["PORT"]) == what_was_seen(transcript.text, "8000")
    assert {answer.part for answer in ANSWERS} == reader.answered
    assert ran.out.splitlines()[-1] == "1 passed, 0 failed", ran


async def test_with_a_supabase_project_its_users_are_known_by_their_own_tokens(
    reader: Reader, empty_database_url: str
) -> None:
    migrate, serve = (f".venv/bin/python railway_server.py{verb}" for verb in (" migrate", ""))
    assert {migrate, serve} <= set(inline(PAGE))
    (heavy,) = (each for each in inline(PAGE) if each.startswith("update agents"))

    async with serve_web() as project:
        forge = TokenForge(issuer=f"{project.url}/auth/v1")
        project.reply("/auth/v1/.well-known/jwks.json", json.dumps(forge.jwks()).encode())
        example = (reader.home / ".env.example").read_text(encoding="utf-8")
        chosen = f"SUPABASE_URL={project.url}\nDATABASE_URL={empty_database_url}\n"
        (reader.home / ".env").write_text(example + chosen, encoding="utf-8")
        async with Shell.opened(reader.home, notes=reader.notes, settings=reader.settings) as shell:
            migrated = await shell.run(migrate)
            user_id, agent_id = uuid4(), uuid4()
            async with connected(empty_database_url) as sql:
                await sql.execute("insert into auth.users (id, email) values ($1, 'u@example.com')", user_id)
                await sql.execute(
                    "insert into public.agents (id, user_id, name) values ($1, $2, 'Mine')", agent_id, user_id
                )
                await sql.execute(heavy.replace("…", str(agent_id)))
            async with Served.running(
                serve, folder=reader.home, notes=reader.notes, settings=reader.settings
            ):
                (agent,) = await agents_of(forge.token(user_id), reader.settings["PORT"])

    assert migrated.out.splitlines()[-1] == "the schema is up to date"
    assert (agent["id"], agent["isHeavy"]) == (str(agent_id), True)


def test_the_part_of_the_tests_that_is_named_is_one() -> None:
    parts = [re.fullmatch(r"scripts/test (\w+) -k (\w+)", each) for each in inline(PAGE)]

    for floor, word in (part.groups() for part in parts if part):
        assert list((ROOT / "tests" / floor).glob(f"test_*{word}*.py"))
    assert any(parts)


def test_every_command_that_is_not_typed_has_its_reason() -> None:
    programs = {program(command) for block in shell_blocks() for command in commands(block.text)}

    assert programs - NOT_TYPED.keys()
    assert all(NOT_TYPED.values())


def first_blocks() -> tuple[Block, Block]:
    """The two commands at the top, and what a first start shows."""
    unnamed = [block for block in blocks(PAGE) if not block.language]
    (transcript,) = (block for block in unnamed if block.text.startswith("$ scripts/start"))
    return unnamed[0], transcript


def shell_blocks() -> list[Block]:
    return [block for block in blocks(PAGE) if block.language == "sh"]


def to_type() -> list[str]:
    every = (command for block in shell_blocks() for command in commands(block.text))
    return [command for command in every if program(command) not in NOT_TYPED]


def program(command: str) -> str:
    """The first word that sets no variable."""
    words = shlex.split(command, comments=True)
    return next(word for word in words if not re.match(r"[A-Z_]+=", word))


def what_was_seen(said: str, port: str) -> list[str]:
    """The kinds of event in their order, what they say without a number, and the credits before and after."""
    seen = re.findall(
        r"^(?: +\d+ (\w+)|(credits .*)|(POST .*)|.*(keeps serving on \S+))",
        said.replace(port, "PORT"),
        re.MULTILINE,
    )
    return ["".join(line) for line in seen]


def streamed(ran: Ran) -> list[Document]:
    return [json.loads(line[5:]) for line in ran.out.splitlines() if line.startswith("data:")]


async def agents_of(token: str, port: str) -> list[Document]:
    async def is_ready() -> bool:
        try:
            return (await client.get("/health/readiness")).status_code == httpx2.codes.OK
        except httpx2.TransportError:
            return False

    headers = {"Authorization": f"Bearer {token}"}
    address = f"http://127.0.0.1:{port}"
    async with httpx2.AsyncClient(base_url=address, headers=headers, trust_env=False) as client:
        await until(is_ready, within_s=30)
        agents: list[Document] = (await client.get("/api/agents")).json()["agents"]
    return agents
