"""What a build sees of a folder, by its `.dockerignore`, and where `COPY` puts it.

A rule matches a path when it matches it or a folder above it; the last one that matches decides.

Source: Docker's documentation of build contexts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from tests.support.image.dockerfile import Stage

__all__ = ["Context"]


class Context:
    def __init__(self, root: Path) -> None:
        self.root = root
        lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
        self._rules = [_Rule(line) for line in lines if line.strip() and not line.startswith("#")]

    @cached_property
    def files(self) -> tuple[PurePosixPath, ...]:
        """Every file a build may copy, relative to the root."""
        return tuple(sorted(self._walk()))

    def copied(self, stage: Stage) -> dict[PurePosixPath, PurePosixPath]:
        """Where in the image → which file of the context, for everything that `stage` copies from it."""
        folder, found = PurePosixPath("/"), {}
        for each in stage.instructions:
            if each.word == "WORKDIR":
                folder /= each.argument
            elif each.word == "COPY" and "from" not in each.flags:
                *sources, target = each.words
                found.update(self._placed(sources, folder / target, is_folder=target.endswith("/")))
        return found

    def _placed(
        self, sources: Sequence[str], target: PurePosixPath, *, is_folder: bool
    ) -> dict[PurePosixPath, PurePosixPath]:
        found = {}
        for source in map(PurePosixPath, sources):
            inside = [file for file in self.files if file.is_relative_to(source)]
            assert inside, f"{source} is not in the context, so that a build would fail"
            for file in inside:
                if file == source:
                    found[target / file.name if is_folder else target] = file
                else:
                    found[target / file.relative_to(source)] = file
        return found

    def _walk(self) -> Iterator[PurePosixPath]:
        for parent, folders, files in os.walk(self.root):
            inside = PurePosixPath(Path(parent).relative_to(self.root).as_posix())
            folders[:] = [name for name in folders if self._may_hold(inside / name)]
            yield from (inside / name for name in files if self._lets_in(inside / name))

    def _may_hold(self, folder: PurePosixPath) -> bool:
        return self._lets_in(folder) or any(
            rule.brings_back and rule.path.is_relative_to(folder) for rule in self._rules
        )

    def _lets_in(self, path: PurePosixPath) -> bool:
        deciding = [rule for rule in self._rules if rule.matches(path)]
        return not deciding or deciding[-1].brings_back


class _Rule:
    def __init__(self, line: str) -> None:
        self.brings_back = line.startswith("!")
        self.path = PurePosixPath(line.strip().removeprefix("!").strip("/"))
        self._pattern = re.compile(_expression(str(self.path)))

    def matches(self, path: PurePosixPath) -> bool:
        return any(self._pattern.fullmatch(str(each)) for each in (path, *path.parents[:-1]))


def _expression(pattern: str) -> str:
    """As a regular expression: `**` is any number of folders, `*` and `?` stay inside a name."""
    found = ""
    for part in re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern):
        match part:
            case "**/":
                found += r"(?:.*/)?"
            case "**":
                found += r".*"
            case "*":
                found += r"[^/]*"
            case "?":
                found += r"[^/]"
            case _ if part.startswith("["):
                found += part
            case _:
                found += re.escape(part)
    return found
