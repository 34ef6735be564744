"""How findings are told: a table for a person, lines for a file, JSON for a program.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import orjson
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from commands.doctor.finding import Finding, Level

__all__ = ["as_json", "as_lines", "as_table", "is_well", "summary"]

MARKS: Final = {
    Level.OK: ("✓", "green"),
    Level.OFF: ("·", "dim"),
    Level.SKIPPED: ("·", "dim"),
    Level.WARNING: ("!", "yellow"),
    Level.WRONG: ("✗", "red"),
}


def is_well(findings: Sequence[Finding]) -> bool:
    return all(each.level is not Level.WRONG for each in findings)


def summary(findings: Sequence[Finding]) -> str:
    wrong = sum(each.level is Level.WRONG for each in findings)
    warnings = sum(each.level is Level.WARNING for each in findings)
    told = f"{wrong} wrong" if wrong else "nothing is wrong"
    return told + (f", {warnings} to know about" if warnings else "")


def as_table(findings: Sequence[Finding]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    before = ""
    for each in findings:
        mark, style = MARKS[each.level]
        # One name over all that is said of a check.
        name = each.check if each.check != before else ""
        before = each.check
        dim = style == "dim"
        table.add_row(
            Text(mark, style=style),
            Text(name, style="dim" if dim else "bold"),
            Text(each.says, style="dim" if dim else ""),
        )
        if each.todo:
            table.add_row("", "", Text(f"→ {each.todo}", style=style))
    style = "green" if is_well(findings) else "red"
    return Group(table, "", Text(summary(findings), style=f"bold {style}"))


def as_lines(findings: Sequence[Finding]) -> Iterator[str]:
    for each in findings:
        yield f"{each.level:<8} {each.check}: {each.says}"
        if each.todo:
            yield f"{'':<8} do: {each.todo}"
    yield summary(findings)


def as_json(findings: Sequence[Finding]) -> str:
    told = [
        {"check": each.check, "level": each.level, "says": each.says, "do": each.todo or None}
        for each in findings
    ]
    return orjson.dumps({"ok": is_well(findings), "findings": told}, option=orjson.OPT_INDENT_2).decode()
