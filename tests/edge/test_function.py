"""That the edge function is sound by itself: its types, its form, and what only a moved clock can show."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.deno import CONFIG, FUNCTION, OFFLINE, deno
from tests.support.process import ROOT

FOLDERS = ("supabase/functions", "tests/edge")
CORE = Path(__file__).parent / "core"


async def test_every_file_is_formatted() -> None:
    code, said = await deno("fmt", "--check", f"--config={CONFIG}", *FOLDERS)

    assert code == 0, said


async def test_every_file_passes_the_linter() -> None:
    code, said = await deno("lint", f"--config={CONFIG}", *FOLDERS)

    assert code == 0, said


async def test_the_types_hold_in_function_and_tests() -> None:
    tests = [str(path) for path in sorted(Path(__file__).parent.rglob("*.ts"))]

    code, said = await deno("check", *OFFLINE, str(FUNCTION), *tests)

    assert code == 0, said


async def test_the_core_keeps_its_laws() -> None:
    golden = ROOT / "tests" / "golden"

    code, said = await deno(
        "test", "--no-check", *OFFLINE, f"--allow-read={golden}", "--allow-net=127.0.0.1", str(CORE)
    )

    assert code == 0, said


async def test_it_imports_nothing_but_its_own_files() -> None:
    code, said = await deno("info", "--json", "--no-remote", "--no-npm", f"--config={CONFIG}", str(FUNCTION))

    assert code == 0, said
    modules = json.loads(said)["modules"]
    folder = f"{FUNCTION.parents[1].as_uri()}/"
    assert [each["specifier"] for each in modules if not each["specifier"].startswith(folder)] == []
    # And none of its files is imported by nobody.
    found = {path.as_uri() for path in FUNCTION.parents[1].rglob("*.ts")}
    assert found == {each["specifier"] for each in modules if each["kind"] == "esm"}
