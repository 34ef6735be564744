"""Doing what a Dockerfile says, instruction by instruction, in roots that stand for its stages."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tests.support.image.bases import BASE_ENVIRONMENT, base_root
from tests.support.image.context import Context
from tests.support.image.dockerfile import Instruction, Stage, stages
from tests.support.image.root import Root

__all__ = ["Image", "build"]


@dataclass(frozen=True, slots=True)
class Image:
    """What a build has made: its root, and how its commands are to be run."""

    root: Root
    stage: Stage
    environment: Mapping[str, str]
    user: str
    folder: str


def build(file: Path, *, workshop: Path, say: Callable[[str], None]) -> Image:
    """
    Args:
        workshop: where bases are kept, and where the roots of the stages are made anew.
    """
    context, done = Context(file.parent), dict[str, Root]()
    made: _Stage | None = None
    for stage in stages(file):
        base = base_root(stage.base, workshop=workshop)
        say(f"FROM {stage.base} ({base.size_mb()} MB here)")
        made = _Stage(base.copy_to(workshop / f"{file.name}-{stage.name}"), stage, context, done)
        for each in stage.instructions:
            made.perform(each, say=say)
        done[stage.name] = made.root
    assert made is not None, f"{file.name} has no stage"
    return made.image()


class _Stage:
    def __init__(self, root: Root, stage: Stage, context: Context, earlier: Mapping[str, Root]) -> None:
        self.root = root
        self._stage = stage
        self._context = context
        self._earlier = earlier
        self._environment = dict(BASE_ENVIRONMENT)
        self._user, self._folder = "0:0", PurePosixPath("/")

    def image(self) -> Image:
        # A container has no HOME unless it is set, and no frontend of Debian.
        given = {n: v for n, v in self._environment.items() if n != "DEBIAN_FRONTEND"}
        return Image(self.root, self._stage, given, self._user, str(self._folder))

    def perform(self, each: Instruction, *, say: Callable[[str], None]) -> None:
        started_s, before_mb = time.monotonic(), self.root.size_mb()
        match each.word:
            case "RUN":
                command = ("/bin/sh", "-c", each.argument)
                folder = str(self._folder)
                self.root.run(*command, environment=self._environment, user=self._user, folder=folder)
            case "COPY":
                self._copy(each)
            case "WORKDIR":
                self._folder /= each.argument
                self._inside(self._folder).mkdir(parents=True, exist_ok=True)
            case "ENV":
                self._environment.update(_pairs(each, self._environment))
            case "USER":
                self._user = each.argument
            case _:
                return
        grown_mb = self.root.size_mb() - before_mb
        say(f"{time.monotonic() - started_s:6.1f} s {grown_mb:+5d} MB  {each}")

    def _copy(self, each: Instruction) -> None:
        if (stage := each.flags.get("from")) is not None:
            source, target = each.words
            self._bring(self._earlier[stage].path / source.lstrip("/"), self._inside(PurePosixPath(target)))
            return
        alone = Stage("", "", [Instruction("WORKDIR", str(self._folder), {}), each])
        for place, file in self._context.copied(alone).items():
            self._bring(self._context.root / file, self._inside(place))

    def _bring(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            subprocess.run(
                ["cp", "--archive", "--reflink=auto", "--no-target-directory", source, target], check=True
            )
            return
        shutil.copy2(source, target)
        shutil.chown(target, 0, 0)

    def _inside(self, path: PurePosixPath) -> Path:
        return self.root.path / str(PurePosixPath("/") / self._folder / path).lstrip("/")


def _pairs(each: Instruction, known: Mapping[str, str]) -> dict[str, str]:
    pairs = Stage("", "", [each]).environment
    return {
        name: re.sub(r"\$\{?(\w+)\}?", lambda match: known.get(match[1], ""), value)
        for name, value in pairs.items()
    }
