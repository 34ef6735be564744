"""What a page shows as code: its fenced blocks, and the commands that a person would copy out of one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Block", "blocks", "commands", "inline", "typed"]

FENCE: Final = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """`language` is empty where the page names none."""

    language: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(found["language"], found["text"]) for found in FENCE.finditer(page)]


def commands(text: str) -> Iterator[str]:
    """Each command as it stands, with its comment; one may go over several lines."""
    lines: list[str] = []
    for line in text.splitlines():
        lines.append(line)
        command = "\n".join(lines)
        if _is_whole(command):
            lines = []
            if shlex.split(command, comments=True):
                yield command
    assert not lines, f"a command without an end: {lines}"


def typed(text: str) -> Iterator[str]:
    """What a person types in a transcript: what follows `$ `, over as many lines as it takes."""
    lines: list[str] = []
    for line in text.splitlines():
        if not lines and not line.startswith("$ "):
            continue
        lines.append(line if lines else line.removeprefix("$ "))
        if _is_whole(command := "\n".join(lines)):
            lines = []
            yield command


def inline(page: str) -> list[str]:
    """What stands `in the running text` as code."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page))


def _is_whole(command: str) -> bool:
    """Whether no quote is open, and no line says that it goes on."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return True
