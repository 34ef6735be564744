"""The rounds of the boot benchmark: each server is started, asked until it is ready, and stopped."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from typing import Final

from benchmarks.figures import Table
from benchmarks.memory import QUANTITIES, measure_memory, measure_memory_in_use
from benchmarks.report import write_figures
from benchmarks.rivals import AEGRA, LANGGRAPH, LITELLM, installed, versions
from benchmarks.server import ROOT, SWITCHYARD, Server, serving
from tests.support.database import DatabaseServer, open_folder
from tests.support.process import environment

__all__ = ["measure"]

STARLETTE: Final = "bare Starlette"
FASTAPI: Final = "bare FastAPI and asyncpg"
WITH_DATABASE: Final = "Switchyard, running database"
EMBEDDED: Final = "Switchyard, embedded database"
FIRST_EVER: Final = "Switchyard, embedded database that is made first"
RIVALS: Final = (AEGRA, LANGGRAPH, LITELLM)

IMPORTS: Final = {
    STARLETTE: "starlette.applications, uvicorn",
    FASTAPI: "fastapi, uvicorn, asyncpg",
    "Switchyard": "railway_server",
}
IMPORT: Final = "import time; began_s = time.perf_counter(); import {}; print(time.perf_counter() - began_s)"
MEMORY_ROUNDS: Final = 3
NO_MODEL: Final = "http://127.0.0.1:9/v1"
READY: Final = "to ready, ms"
CPU: Final = "CPU of it, ms"


async def measure(*, rounds: int, json_file: Path | None, only: Sequence[str] | None) -> None:
    database = DatabaseServer()
    await database.start()
    folder = open_folder()
    try:
        url = await database.create()
        rivals = _rivals(await database.create_empty())
        servers = [each for each in (*_servers(url, folder), *rivals) if only is None or each.name in only]
        boots = await _boots(servers, folder=folder, rounds=rounds)
        boots.print()
        imports = await _imports(rounds=rounds)
        imports.print()
        memory = await _memory(servers, rounds=rounds)
        memory.print()
    finally:
        await database.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if json_file is not None:
        libraries = ("starlette", "fastapi", "uvicorn", "asyncpg", "pydantic")
        ours = {name: version(name) for name in libraries}
        about = {"versions": {"Switchyard": ours, **versions(RIVALS)}, "rounds": rounds}
        tables = (boots, imports, memory)
        figures = [asdict(each) for table in tables for each in table.medians()]
        write_figures(json_file, figures, about=about)


def _servers(url: str, folder: Path) -> list[Server]:
    database = {"DATABASE_URL": url}
    return [
        Server(STARLETTE, ("-m", "benchmarks.subjects.bare_starlette"), {}),
        Server(FASTAPI, ("-m", "benchmarks.subjects.bare_fastapi"), database),
        Server(WITH_DATABASE, SWITCHYARD, database),
        Server(EMBEDDED, SWITCHYARD, {"DATA_DIR": str(folder / "kept")}),
        Server(FIRST_EVER, SWITCHYARD, {"DATA_DIR": str(folder / "fresh")}),
    ]


def _rivals(empty_url: str) -> list[Server]:
    """Those that are installed; one fills an empty database at its first start, which is not counted."""
    settings: dict[str, dict[str, str]] = {
        AEGRA.name: {"DATABASE_URL": empty_url},
        LITELLM.name: {"OPENAI_BASE_URL": NO_MODEL, "LITELLM_MASTER_KEY": f"sk-{token_hex()}"},
    }
    return [each.server(**settings.get(each.name, {})) for each in installed(RIVALS)]


async def _boots(servers: Sequence[Server], *, folder: Path, rounds: int) -> Table:
    table = Table("from its start", (READY, CPU))
    for number in range(rounds + 1):
        for server in servers:
            shutil.rmtree(folder / "fresh", ignore_errors=True)
            async with serving(server) as served:
                pass
            if number > 0:  # the first one writes bytecode, and makes the database that is kept
                table.add(server.name, {READY: served.ready_s * 1000, CPU: served.cpu_s * 1000})
    return table


async def _imports(*, rounds: int) -> Table:
    table = Table("importing", ("ms",))
    for number in range(rounds + 1):
        for subject, modules in IMPORTS.items():
            took_s = await _import(modules)
            if number > 0:
                table.add(subject, {"ms": took_s * 1000})
    return table


async def _memory(servers: Sequence[Server], *, rounds: int) -> Table:
    """In fewer rounds: it hardly varies."""
    table = Table("what it holds", QUANTITIES)
    for server in servers:
        if server.name in {STARLETTE, FASTAPI, *(each.name for each in RIVALS)}:
            await measure_memory(table, server, rounds=min(rounds, MEMORY_ROUNDS))
        if server.name == WITH_DATABASE:
            await measure_memory_in_use(table, server, rounds=min(rounds, MEMORY_ROUNDS))
    return table


async def _import(modules: str) -> float:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", IMPORT.format(modules)),
        cwd=ROOT,
        env=environment({}),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return float(out)
