"""That every folder has a rank, and every package is entered by its face.

import-linter holds the ranks themselves; this is what it cannot see.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

from tests.architecture.sources import ENTRY, ROOT, Source, at, product_sources, rooms

# Folders that hold no product code in Python, and so have no rank; scripts run on other machines.
WITHOUT_RANK = frozenset({"benchmarks", "demo", "deploy", "docs", "scripts", "supabase", "tests"})

# Their floors are single files: `foundation.errors` is a face as much as `foundation.db`.
HOUSES = frozenset({"foundation", "heavy_agents"})


def test_every_top_level_folder_has_a_rank_or_holds_no_product_code() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}

    assert folders - set(rooms()) - WITHOUT_RANK - {"node_modules", "__pycache__"} == set()


def test_every_python_file_belongs_to_a_room() -> None:
    homes = {*rooms(), "scripts"}

    homeless = [str(each.path) for each in product_sources() if each.module.split(".")[0] not in homes]

    assert homeless == []


def test_every_room_exists() -> None:
    missing = [
        room
        for room in rooms()
        if not (ROOT / room / "__init__.py").exists() and not (ROOT / f"{room}.py").exists()
    ]

    assert missing == []


def test_a_package_is_entered_by_its_face() -> None:
    modules = {each.module for each in product_sources() if not each.is_face}

    trespasses = [
        f"{where} imports {name}"
        for source in product_sources()
        for where, name in _imports(source)
        if name in modules and not _may_enter(source, name.rpartition(".")[0])
    ]

    assert trespasses == []


def _may_enter(source: Source, package: str) -> bool:
    """Whether modules right inside `package` are open to `source`."""
    if package in HOUSES or package == "":
        return True
    # The entry point mounts the routers.
    if source.module == ENTRY and package == "routing":
        return True
    return f"{source.package}.".startswith(f"{package}.")


def _imports(source: Source) -> Iterator[tuple[str, str]]:
    """Every module that is imported, wherever in the file."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((at(source, node), alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield at(source, node), node.module
            # `from a import b` means the module `a.b` unless the face of `a` offers a `b`.
            hidden = {alias.name for alias in node.names} - _offered(node.module)
            yield from ((at(source, node), f"{node.module}.{name}") for name in hidden)


@cache
def _offered(package: str) -> frozenset[str]:
    face = next((each for each in product_sources() if each.is_face and each.module == package), None)
    return frozenset(face.offers or ()) if face is not None else frozenset()
