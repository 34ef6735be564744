"""What a docstring in Google's style says of a function and of each of its parameters."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Docstring", "read_docstring"]

SECTION: Final = re.compile(
    r"(Args|Arguments|Parameters|Returns|Yields|Raises|Note|Notes|Example|Examples|Source):\s*\Z"
)
PARAMETERS: Final = frozenset({"Args", "Arguments", "Parameters"})
# `name: says`, `name (type): says`, `one, two: says`.
ENTRY: Final = re.compile(r"(\*{0,2}\w+(?:, *\*{0,2}\w+)*) *(?:\([^)]*\))?: *(.*)\Z")


@dataclass(frozen=True, slots=True)
class Docstring:
    """`text` is what comes before the first section; `parameters` by name, each in one line."""

    text: str
    parameters: dict[str, str]


def read_docstring(raw: str | None) -> Docstring:
    text: list[str] = []
    lines: list[str] = []
    section = ""
    for line in inspect.cleandoc(raw or "").splitlines():
        if found := SECTION.match(line):
            section = found[1]
        elif not section:
            text.append(line)
        elif section in PARAMETERS:
            lines.append(line)
    paragraphs = re.split(r"\n\s*\n", "\n".join(text).strip())
    joined = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return Docstring(joined, _parameters(inspect.cleandoc("\n" + "\n".join(lines)).splitlines()))


def _parameters(lines: list[str]) -> dict[str, str]:
    """An indented line goes on with the entry before it."""
    said: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        if found := ENTRY.match(line):
            names = [name.strip(" *") for name in found[1].split(",")]
            said |= dict.fromkeys(names, found[2].strip())
        else:
            said |= {name: f"{said[name]} {line.strip()}".strip() for name in names}
    return said
