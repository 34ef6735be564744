"""That the environment is read in one place, and told of in two more, which agree with it."""

from __future__ import annotations

import ast
import re
from enum import Enum
from pathlib import Path

from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from foundation.settings import Settings
from tests.architecture.sources import ROOT, Source, at, product_sources

# Settings read it; processes for jobs are given a part of it; scripts run on machines that have no settings.
READERS = (Path("foundation/settings"), Path("foundation/workers"), Path("scripts"))

READING = frozenset({"environ", "environb", "getenv", "getenvb"})


def test_only_settings_and_workers_read_the_environment() -> None:
    readers = [
        at(source, node)
        for source in product_sources()
        if not any(source.path.is_relative_to(allowed) for allowed in READERS)
        for node in _readings(source)
    ]

    assert readers == []


def test_the_settings_page_lists_every_variable_as_the_code_has_it() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

    rows = [line for line in page.splitlines() if re.match(r"\| `[A-Z]", line)]

    assert sorted(rows) == sorted(_row(field) for field in Settings.model_fields.values())


def test_the_example_names_every_variable_and_sets_none() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()

    named = [match[1] for line in lines if (match := re.match(r"#([A-Z_]+)=", line))]

    assert sorted(named) == sorted(_names(field)[0] for field in Settings.model_fields.values())
    assert [line for line in lines if line and not line.startswith("#")] == []


def _readings(source: Source) -> list[ast.expr | ast.stmt]:
    """`os.environ`, `os.getenv` and `from os import environ`, by whatever name `os` goes."""
    found: list[ast.expr | ast.stmt] = []
    for node in ast.walk(source.tree):
        reads = isinstance(node, ast.Attribute) and node.attr in READING
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            reads = any(alias.name in READING for alias in node.names)
        if reads and isinstance(node, ast.expr | ast.stmt):
            found.append(node)
    return found


def _row(field: FieldInfo) -> str:
    """`| variable (also others) | default | what it wants |`."""
    first, *others = _names(field)
    also = f" (also {', '.join(f'`{name}`' for name in others)})" if others else ""
    return f"| `{first}`{also} | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    match field.default:
        case None | "" | ():
            return "not set"
        case bool() as switch:
            return "`1`" if switch else "`0`"
        case Enum() as choice:
            return f"`{choice.value}`"
        case value:
            return f"`{value}`"


def _names(field: FieldInfo) -> list[str]:
    assert isinstance(field.validation_alias, AliasChoices)
    return [str(choice) for choice in field.validation_alias.choices]
