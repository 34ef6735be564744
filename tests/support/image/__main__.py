"""Rehearse the images without a container engine: do what a Dockerfile says, then run it. For root on Linux.

python -m tests.support.image [folder to work in]
"""

from __future__ import annotations

import asyncio
import shlex
import sys
import tomllib
from pathlib import Path
from secrets import token_hex

from foundation.db import seed
from tests.support.database import MIGRATIONS, DatabaseServer
from tests.support.deployment import procfile
from tests.support.image.build import Image, build
from tests.support.image.root import Mounts
from tests.support.image.trial import Trial, secrets_of_production
from tests.support.process import ROOT, free_port

LANGUAGES = {"ben", "eng", "hin", "tam"}
PARTS = ("opt/venv", "usr/share/tesseract-ocr", "app", "")
NOTHING_WRITABLE = Mounts(read_only=True, has_shared_memory=False)


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what it is for


def main(workshop: Path) -> None:
    workshop.mkdir(parents=True, exist_ok=True)
    image = build(ROOT / "Dockerfile.railway", workshop=workshop, say=say)
    for part in PARTS:
        say(f"{image.root.size_mb(part):6d} MB  /{part}")
    _see_languages(image)
    asyncio.run(_try_out(image))
    image = build(ROOT / "Dockerfile.nats", workshop=workshop, say=say)
    for trial in _trials_of_nats():
        asyncio.run(trial.run(image, say=say))


def _see_languages(image: Image) -> None:
    said = image.root.run("tesseract", "--list-langs", environment=image.environment, user=image.user)
    found = set(said.split())
    assert found >= LANGUAGES, said
    say(f"tesseract reads {', '.join(sorted(found & LANGUAGES))}")


async def _try_out(image: Image) -> None:
    server = DatabaseServer()
    await server.start()
    try:
        url = await server.create_empty()
        _release(image, url)
        await seed(url, file=MIGRATIONS.parent / "seed.sql")
        for trial in _trials(url):
            await trial.run(image, say=say)
    finally:
        await server.stop()


def _release(image: Image, url: str) -> None:
    """The pre-deploy command, in a container of its own."""
    deploy = tomllib.loads((ROOT / "railway.toml").read_text(encoding="utf-8"))["deploy"]
    environment = {**image.environment, **secrets_of_production(), "DATABASE_URL": url}
    for command in deploy["preDeployCommand"]:
        said = image.root.run(
            *shlex.split(command),
            environment=environment,
            user=image.user,
            folder=image.folder,
            mounts=NOTHING_WRITABLE,
        )
        say(f"{command}: {said.splitlines()[-1]}")


def _trials(url: str) -> list[Trial]:
    shared = {**secrets_of_production(), "DATABASE_URL": url}
    own = {**secrets_of_production(), "ALLOW_EMBEDDED": "1"}
    tmp, volume = Mounts(read_only=True, writable=("/tmp",)), ("/tmp", "/data")
    of_root = Mounts(read_only=True, writable=("/tmp",), only_for_root=("/data",))
    as_development = {**own, "ENVIRONMENT": "development"}
    return [
        Trial("/tmp in memory", tmp, shared, forecasts=True),
        Trial("TMPDIR=/dev/shm", Mounts(read_only=True), {**shared, "TMPDIR": "/dev/shm"}, forecasts=True),
        Trial("nothing writable", NOTHING_WRITABLE, shared),
        Trial("a worker", tmp, shared, command=procfile()["worker"].split()),
        Trial(
            "a database on its volume",
            Mounts(read_only=True, writable=volume),
            as_development,
            forecasts=True,
        ),
        Trial("a database on root's volume, as root", of_root, own, user="0:0"),
    ]


def _trials_of_nats() -> list[Trial]:
    settings = {"NATS_PASSWORD": token_hex(24), "NATS_PORT": str(free_port())}
    own = Mounts(read_only=True, writable=("/data",))
    of_root = Mounts(read_only=True, only_for_root=("/data",))
    return [
        Trial("nats", own, settings, ready_path="/healthz"),
        Trial("nats on root's volume, as root", of_root, settings, user="0:0", ready_path="/healthz"),
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".switchyard" / "image").resolve())
