"""`doctor` and `migrate` where the database is a project: they look, and say what only others can do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from heavy_agents.runs import PUSH, SCHEMA_VERSION
from tests.support.doors import project_of
from tests.support.gateway import KEYS_PATH, Gateway
from tests.support.process import free_port, run_command

WELL, UNWELL, REFUSED = 0, 1, 2


@pytest.fixture
async def project(database_url: str) -> AsyncIterator[Gateway]:
    async with project_of(database_url) as project:
        project.documents[KEYS_PATH] = {"keys": [{"kid": "one", "kty": "EC"}]}
        yield project


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[Gateway]:
    async with project_of(empty_database_url) as project:
        yield project


async def doctor(tmp_path: Path, url: str, key: str) -> tuple[int, dict[str, tuple[str, str, str]]]:
    """The exit code, and of each check its level, what it says and what to do."""
    settings = {"SUPABASE_URL": url, "SUPABASE_SECRET_KEY": key, "DATA_DIR": str(tmp_path), "PORT": "0"}
    code, out, err = await run_command("doctor", "--json", **settings)
    assert err == ""
    assert key not in out
    told = orjson.loads(out)["findings"]
    return code, {each["check"]: (each["level"], each["says"], each["do"] or "") for each in told}


async def test_a_project_in_order_is_well(project: Gateway, tmp_path: Path) -> None:
    code, found = await doctor(tmp_path, project.url, project.key)

    assert code == WELL
    assert found["database"][0] == "ok"
    assert found["database"][1].startswith(f"the Data API of 127.0.0.1:{project.port} takes the key, ")
    version = f"the schema has version {SCHEMA_VERSION}; this release needs {SCHEMA_VERSION}"
    assert found["migrations"][:2] == ("ok", version)
    assert found["clock"][1].startswith("in time with the database")


async def test_what_is_wrong_with_a_project_is_told_by_what_is_wrong(
    project: Gateway, empty: Gateway, tmp_path: Path
) -> None:
    wrong_key = await doctor(tmp_path, project.url, "sb_secret_of-no-project-at-all")
    nobody = await doctor(tmp_path, f"http://127.0.0.1:{free_port()}", project.key)
    no_schema = await doctor(tmp_path, empty.url, empty.key)

    assert [code for code, _ in (wrong_key, nobody, no_schema)] == [UNWELL] * 3
    assert wrong_key[1]["database"][1].endswith("it refuses the key")
    assert nobody[1]["database"][1].endswith("nothing answers there")
    assert no_schema[1]["database"][0] == "ok"
    assert no_schema[1]["migrations"][:2] == ("wrong", "the schema is missing")
    assert no_schema[1]["migrations"][2].startswith("supabase db push --remote")


async def test_migrate_says_that_the_schema_is_there(project: Gateway, tmp_path: Path) -> None:
    code, out, err = await migrate(project, tmp_path)

    assert (code, out, err) == (WELL, "the schema is what this release needs\n", "")


async def test_migrate_says_how_others_apply_what_it_cannot(empty: Gateway, tmp_path: Path) -> None:
    code, out, err = await migrate(empty, tmp_path)

    assert (code, out) == (REFUSED, "")
    assert "\n    supabase db push --remote\n" in err
    assert err.endswith(f"the schema is missing; {PUSH}\n")


async def test_a_server_with_a_wrong_key_ends_with_one_line(project: Gateway, tmp_path: Path) -> None:
    key = "sb_secret_of-no-project-at-all"
    code, out, err = await run_command(
        "serve", SUPABASE_URL=project.url, SUPABASE_SECRET_KEY=key, DATA_DIR=str(tmp_path), PORT="0"
    )

    assert code == REFUSED
    assert err == (
        "the database refused the key; check SUPABASE_URL, and that SUPABASE_SECRET_KEY is the secret key"
        " of that project\n"
    )
    assert key not in out


async def migrate(project: Gateway, folder: Path) -> tuple[int, str, str]:
    return await run_command(
        "migrate", SUPABASE_URL=project.url, SUPABASE_SECRET_KEY=project.key, DATA_DIR=str(folder)
    )
