"""The project as somebody has it who has just fetched it: its files as they are now, and nothing made since.

Only the installing is not done again: its `.venv` has an interpreter of its own, which finds the packages of
this one, and the notes by which `scripts/setup` knows that everything in the pins is there.
"""

from __future__ import annotations

import hashlib
import shutil
import site
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.database import open_folder

__all__ = ["checkout"]

ROOT = Path(__file__).parents[2]
MADE_BY_TOOLS = ("__pycache__", "node_modules")
# Every other hidden thing at the root is made: `.venv`, `.git`, caches, and a developer's own `.env`.
HIDDEN_BUT_OURS = frozenset({".ci", ".env.example", ".github", ".gitignore", ".dockerignore"})
PINS = ("requirements.txt", "requirements-dev.txt", "requirements-npm.txt")


@contextmanager
def checkout() -> Iterator[Path]:
    """A folder of one's own with the project in it, gone at the end."""
    home = open_folder() / "switchyard"
    try:
        shutil.copytree(ROOT, home, ignore=_made_since)
        _equip(home)
        yield home
    finally:
        shutil.rmtree(home.parent)


def _made_since(folder: str, names: list[str]) -> list[str]:
    is_root = Path(folder) == ROOT
    return [
        name
        for name in names
        if name in MADE_BY_TOOLS or (is_root and name.startswith(".") and name not in HIDDEN_BUT_OURS)
    ]


def _equip(home: Path) -> None:
    folder = home / ".venv"
    venv.create(folder, symlinks=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    found = [path for path in (sysconfig.get_path("purelib"), *site.getsitepackages()) if Path(path).is_dir()]
    lines = [f"import site; site.addsitedir({path!r})" for path in dict.fromkeys(found)]
    Path(packages, "found.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for program in Path(sys.executable).parent.iterdir():
        if not (folder / "bin" / program.name).exists():
            (folder / "bin" / program.name).symlink_to(program)
    (folder / ".made-at").write_text(f"{home}\n", encoding="utf-8")
    for name in PINS:
        checksum = hashlib.sha256((home / name).read_bytes()).hexdigest()
        (folder / f".installed-{name}").write_text(f"{checksum}  {name}\n", encoding="utf-8")
