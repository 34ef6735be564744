"""The real Supabase CLI, as it comes from npm, in a folder and a home of its own.

Its package brings the program of each platform as a package of its own, so nothing is fetched afterwards.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

import orjson

from foundation.db.roles import ROLES_SQL
from tests.support.database import MIGRATIONS, DatabaseServer
from tests.support.npm import installed
from tests.support.process import ROOT, environment
from tests.support.tables import connected

__all__ = ["SupabaseCli", "bare_project", "guide_commands"]

GUIDE = ROOT / "docs" / "supabase.md"
VERSION = "3.1.0"
WITHIN_S = 120
# It asks nobody but the database: no reports, no look for a newer version, no keyring.
QUIET = {
    "DO_NOT_TRACK": "1",
    "SUPABASE_TELEMETRY_DISABLED": "1",
    "SUPABASE_NO_UPDATE_NOTIFIER": "1",
    "SUPABASE_NO_KEYRING": "1",
}


@dataclass(frozen=True)
class SupabaseCli:
    """Commands on a copy of `supabase/`, because it leaves files beside what it reads."""

    folder: Path

    @classmethod
    def on(cls, folder: Path, migrations: Iterable[Path] | None = None) -> SupabaseCli:
        """
        Args:
            migrations: those the copy has; all without.
        """
        target = folder / "supabase"
        (target / "migrations").mkdir(parents=True)
        for name in ("config.toml", "seed.sql"):
            shutil.copy(MIGRATIONS.parent / name, target)
        cli = cls(folder)
        cli.add(MIGRATIONS.glob("*.sql") if migrations is None else migrations)
        return cli

    def add(self, migrations: Iterable[Path]) -> None:
        for file in migrations:
            shutil.copy(file, self.migrations)

    @property
    def migrations(self) -> Path:
        return self.folder / "supabase" / "migrations"

    # Any: the JSON it prints, whose shape each test knows.
    async def run(self, *arguments: str, url: str) -> dict[str, Any]:
        """What it says of a command on the database of `url`."""
        code, out, err = await self._ran(*arguments, f"--remote={url}", "--output-format=json")
        assert code == 0, out + err
        answer: dict[str, Any] = orjson.loads(out)
        return answer

    async def refused(self, *arguments: str, url: str) -> str:
        """All that it says of a command that it does not carry out."""
        code, out, err = await self._ran(*arguments, f"--remote={url}")
        assert code != 0, out + err
        return out + err

    async def type(self, commands: str, **variables: str) -> str:
        """All that is said of these lines at a shell in the folder, none of which fails."""
        program = await asyncio.to_thread(_installed)
        path = f"{program.parent}:{os.environ['PATH']}"
        typed = ("bash", "-e", "-c", commands)
        code, out, err = await self._process(*typed, SUPABASE_YES="1", **variables, PATH=path)
        assert code == 0, out + err
        return out + err

    async def _ran(self, *arguments: str) -> tuple[int | None, str, str]:
        program = await asyncio.to_thread(_installed)
        return await self._process(str(program), *arguments, "--workdir", str(self.folder), "--yes")

    async def _process(self, *command: str, **variables: str) -> tuple[int | None, str, str]:
        own = {"HOME": str(self.folder), "SUPABASE_HOME": str(self.folder / "home")}
        process = await asyncio.create_subprocess_exec(
            *command, env=environment(QUIET | own | variables), cwd=self.folder, stdout=PIPE, stderr=PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), WITHIN_S)
        return process.returncode, out.decode(), err.decode()

    async def push(self, url: str, *options: str) -> dict[str, Any]:
        return await self.run("db", "push", *options, url=url)

    async def listed(self, url: str) -> list[tuple[str, str]]:
        """The versions of the files and those of the database, side by side."""
        answer = await self.run("migration", "list", url=url)
        return [(each["local"], each["remote"]) for each in answer["migrations"]]


async def bare_project(server: DatabaseServer) -> str:
    """A database that has what a Supabase project has from the start, and no more."""
    url = await server.create_empty()
    async with connected(url) as connection:
        await connection.execute(ROLES_SQL.read_text(encoding="utf-8"))
    return url


def guide_commands(name: str) -> str:
    """The lines for a shell that the guide marks with this name."""
    guide = GUIDE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- sh: {name} -->\n```sh\n(.*?)```\n", guide, re.DOTALL)
    assert found is not None, f"{GUIDE.name} has no block {name}"
    return found[1]


def _installed() -> Path:
    programs = list(installed("supabase", VERSION).glob("node_modules/@supabase/cli-*/bin/supabase"))
    assert programs, f"npm has no Supabase CLI for this platform ({sys.platform})"
    return programs[0]
