"""What a Dockerfile says: its stages, each with its instructions in order.

It reads what ours use: comments, continued lines, build arguments in `FROM`, flags, both forms of a command.

Source: Docker's Dockerfile reference.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Instruction", "Stage", "stages"]

KNOWN = frozenset(
    {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "STOPSIGNAL", "USER"}
    | {"WORKDIR"}
)


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    argument: str
    flags: Mapping[str, str]

    @property
    def words(self) -> list[str]:
        """The argument as its exec form has it, or else split at blanks."""
        argument = self.argument.removeprefix("CMD ")  # of a health check
        if argument.startswith("["):
            return [str(each) for each in json.loads(argument)]
        return shlex.split(argument)

    def __str__(self) -> str:
        return f"{self.word} {' '.join(self.argument.split())[:70]}"


@dataclass(slots=True)
class Stage:
    """From one `FROM` to the next."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        return [each for each in self.instructions if each.word == word]

    def last(self, word: str) -> Instruction:
        """The one that counts where a later one replaces an earlier one."""
        return self.all(word)[-1]

    @property
    def environment(self) -> dict[str, str]:
        """What all of `ENV` adds up to; `$PATH` in it is left as it is."""
        return dict(pair.split("=", 1) for each in self.all("ENV") for pair in shlex.split(each.argument))


def stages(file: Path, **arguments: str) -> list[Stage]:
    """
    Args:
        arguments: build arguments, instead of the defaults in the file.
    """
    known: dict[str, str] = {}
    found: list[Stage] = []
    for line in _lines(file.read_text(encoding="utf-8")):
        instruction = _instruction(line)
        if instruction.word == "FROM":
            base, _, name = _filled(instruction.argument, known).partition(" AS ")
            found.append(Stage(base.strip(), name.strip() or str(len(found))))
        elif found:
            found[-1].instructions.append(instruction)
        else:
            name, _, default = instruction.argument.partition("=")
            known[name] = arguments.get(name, default)
    return found


def _lines(text: str) -> Iterator[str]:
    """Whole instructions; a comment may stand between the lines of one."""
    pending = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#") or not line.strip():
            continue
        pending += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield pending.strip()
            pending = ""
    assert not pending, f"it ends in the middle of {pending!r}"


def _instruction(line: str) -> Instruction:
    word, _, argument = line.partition(" ")
    assert word in KNOWN, f"{word} is not read here yet"
    flags: dict[str, str] = {}
    while match := re.match(r"\s*--([a-z-]+)=(\S+)\s+", argument):
        flags[match[1]] = match[2]
        argument = argument[match.end() :]
    return Instruction(word, argument.strip(), flags)


def _filled(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: known[match[1]], text)
