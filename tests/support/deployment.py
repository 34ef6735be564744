"""The files that say how it is deployed, read: images, Procfile, railway.toml, deploy/railway.ts.

The last is a program. It is evaluated with Railway's own SDK, which comes from npm and needs no account.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.image import Stage, stages
from tests.support.npm import installed, node
from tests.support.process import ROOT

__all__ = ["environment_of", "image_of", "procfile", "railway_toml", "services", "type_errors"]

SDK_VERSION = "3.11.0"
TYPESCRIPT_VERSION = "5.9.3"

EVALUATE = """
import program from "./railway.ts";
import { createRailwayContext, project, validateGraph } from "railway/iac";

const context = createRailwayContext({ environment: "production" });
const found = await program(context, project);
const graph = { version: 1, project: { name: found.name }, environments: [], edges: [], ...found };
console.log(JSON.stringify({ resources: found.resources, mistakes: validateGraph(graph) }));
"""

# The SDK's types are those of the settings that both files set.
TYPED_TOML = """
import type {{ BuildConfig, DeployConfig }} from "railway/iac";

export const file: {{ build: BuildConfig; deploy: DeployConfig }} = {toml};
"""

# Any: TOML and JSON of files, whose shape each test knows.
Document = dict[str, Any]


def image_of(name: str) -> Stage:
    """The last stage of a Dockerfile, which is the image."""
    return stages(ROOT / name)[-1]


def procfile() -> dict[str, str]:
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
    return {name: command.strip() for name, _, command in (line.partition(":") for line in lines)}


@cache
def railway_toml() -> Document:
    return tomllib.loads((ROOT / "railway.toml").read_text(encoding="utf-8"))


def services(folder: Path) -> dict[str, Document]:
    """The services that deploy/railway.ts describes for production, by name.

    Args:
        folder: an empty one to work in.
    """
    sdk = _furnish(folder)
    (folder / "evaluate.mjs").write_text(EVALUATE)
    done = _node(sdk / "tsx" / "dist" / "cli.mjs", "evaluate.mjs", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    found: Document = json.loads(done.stdout)
    assert found["mistakes"] == []
    return {each["name"]: each for each in found["resources"] if each["type"] == "service"}


def type_errors(folder: Path) -> str:
    """What TypeScript has to say about deploy/railway.ts, and about railway.toml as if it were part of it."""
    _furnish(folder)
    (folder / "toml.ts").write_text(TYPED_TOML.format(toml=json.dumps(railway_toml())))
    compiler = installed("typescript", TYPESCRIPT_VERSION) / "node_modules" / "typescript" / "bin" / "tsc"
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"]
    return _node(compiler, *options, "railway.ts", "toml.ts", folder=folder).stdout


def environment_of(service: Document) -> Mapping[str, str | None]:
    """Its variables; None where what is set in Railway stays."""
    return {name: each.get("value") for name, each in service["variables"].items()}


def _furnish(folder: Path) -> Path:
    """Put the file where its import finds the SDK; the folder of what npm has installed."""
    modules = installed("railway", SDK_VERSION) / "node_modules"
    (folder / "node_modules").symlink_to(modules)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "railway.ts").write_text((ROOT / "deploy" / "railway.ts").read_text(encoding="utf-8"))
    return modules


def _node(program: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*node(), str(program), *arguments],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
