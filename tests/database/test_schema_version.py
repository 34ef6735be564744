"""A release takes no callers on a schema that lacks what it asks for."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from foundation.clock import GuidedClock
from foundation.db import Database, migrate
from foundation.errors import HeavyError
from heavy_agents.runs import DatabaseCheck
from tests.support.database import MIGRATIONS, DatabaseServer, drop
from tests.support.sql import Connection, talking

ROOMS = ("foundation", "heavy_agents", "routing", "commands", "forecast")
CALLED = re.compile(r'"(switchyard_[a-z_]+)"')
FUNCTIONS = "select proname from pg_proc where pronamespace = 'public'::regnamespace"


def called() -> set[str]:
    """The functions that the code of this release names."""
    files = (file for room in ROOMS for file in (MIGRATIONS.parents[1] / room).rglob("*.py"))
    return {name for file in files for name in CALLED.findall(file.read_text())}


async def is_taken(database: Database) -> bool:
    try:
        await DatabaseCheck(database, GuidedClock())()
    except HeavyError:
        return False
    return True


async def missing(connection: Connection) -> set[str]:
    return called() - {row["proname"] for row in await connection.fetch(FUNCTIONS)}


async def test_a_schema_that_is_taken_has_every_function_this_release_calls(
    database_server: DatabaseServer, tmp_path: Path
) -> None:
    url = await database_server.create_empty()
    async with talking(url, size=1) as sql:
        taken: dict[str, set[str]] = {}
        for file in sorted(MIGRATIONS.glob("*.sql")):
            shutil.copy(file, tmp_path)
            await migrate(url, folder=tmp_path)
            if await is_taken(sql.database):
                taken[file.name] = await missing(sql.connection)
    await drop(database_server, url)

    assert taken
    assert set().union(*taken.values()) == set(), taken
