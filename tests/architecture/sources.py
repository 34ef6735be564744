"""Which files are ours, and which of them are the product."""

from __future__ import annotations

import ast
import os
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["ENTRY", "ROOT", "Source", "at", "our_files", "product_sources", "pyproject", "rooms"]

ROOT = Path(__file__).parents[2]

# Above every room; a module, so the contracts do not name it.
ENTRY = "railway_server"

_MADE_BY_TOOLS = frozenset({"node_modules", "__pycache__"})
_HIDDEN_BUT_OURS = frozenset({".ci", ".github", ".railway"})


class Source:
    """A Python file: its path from the root, its dotted name, its text and its tree."""

    def __init__(self, path: Path) -> None:
        self.path = path.relative_to(ROOT)
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text, filename=str(self.path))

    @property
    def is_face(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def module(self) -> str:
        parts = self.path.parent.parts if self.is_face else self.path.with_suffix("").parts
        return ".".join(parts)

    @property
    def package(self) -> str:
        """The package it is in; of a face, the package itself."""
        return ".".join(self.path.parent.parts)

    @property
    def offers(self) -> list[str] | None:
        """What is in `__all__`; None without one."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and any(_is_all(target) for target in node.targets):
                return list(ast.literal_eval(node.value))
        return None


# Any: TOML has whatever shape its author gave it.
@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def rooms() -> list[str]:
    """Everything that has a rank, the highest first."""
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["name"] == "Rooms import only downwards")
    return [ENTRY, *(name.strip() for layer in layers for name in layer.split("|"))]


@cache
def product_sources() -> tuple[Source, ...]:
    """Every Python file outside tests and benchmarks."""
    outside = ("tests", "benchmarks")
    return tuple(
        Source(path)
        for path in our_files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] not in outside
    )


@cache
def our_files() -> tuple[Path, ...]:
    """Every file of the project, without what tools make; needs no git."""
    return tuple(sorted(_walk()))


def at(source: Source, node: ast.stmt | ast.expr) -> str:
    """Where a reader finds `node`."""
    return f"{source.path}:{node.lineno}"


def _is_all(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "__all__"


def _walk() -> Iterator[Path]:
    for parent, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if _is_ours(name)]
        yield from (Path(parent, name) for name in files)


def _is_ours(folder: str) -> bool:
    if folder in _MADE_BY_TOOLS:
        return False
    return not folder.startswith(".") or folder in _HIDDEN_BUT_OURS
