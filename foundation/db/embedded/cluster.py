"""Where a cluster's files are, and how they come to be.

In the data folder, when the user who runs Postgres can get there; otherwise under `REACHABLE_ROOT`, in a
folder named after the data folder, which then remembers it. A cluster is made aside and moved into place
when it is complete, so a start cut short leaves nothing half-made.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from signal import SIGKILL

from foundation.db.embedded.binaries import MAJOR_VERSION, Binaries
from foundation.db.embedded.process import ended, spawn
from foundation.db.embedded.unprivileged import can_reach, give, has_name, make_passable, named_uid
from foundation.errors import DatabaseUnavailable, NotConfigured

__all__ = ["SUPERUSER", "check_version", "create", "exists", "locate", "owner", "remember"]

SUPERUSER = "postgres"
CREATE_WITHIN_S = 120.0

_FOLDER = "postgres"
_PLACE = "postgres.place"


def locate(data_dir: Path, *, uid: int | None, root: Path) -> Path:
    """Where the cluster of `data_dir` is or belongs.

    Raises:
        NotConfigured: it was elsewhere and is gone, or no place can be reached.
    """
    place = data_dir / _PLACE
    if place.exists():
        return _remembered(place)
    if exists(data_dir / _FOLDER) or can_reach(data_dir, uid):
        return data_dir / _FOLDER
    return _sheltered(data_dir, uid=uid, root=root)


def exists(cluster: Path) -> bool:
    return (cluster / "PG_VERSION").exists()


def owner(cluster: Path) -> int | None:
    """The uid that has to run it: whoever made it; None when that is ourselves."""
    uid = cluster.stat().st_uid
    return None if uid == os.geteuid() else uid


def remember(cluster: Path, *, data_dir: Path) -> None:
    """Keep in `data_dir` where its cluster is, when it is elsewhere."""
    if cluster.parent != data_dir:
        (data_dir / _PLACE).write_text(f"{cluster}\n")


async def create(cluster: Path, *, binaries: Binaries, uid: int | None, password: str, log: Path) -> None:
    """Make an empty cluster that lets nobody in without `password`.

    Raises:
        DatabaseUnavailable: `initdb` failed; the end of `log` says why.
        NotConfigured: this user has no name, without which `initdb` does nothing.
    """
    if uid is None and not has_name(os.geteuid()):
        raise NotConfigured(
            f"uid {os.geteuid()} has no entry in the user database, which making the embedded database needs;"
            " run as a user with a name, or set DATABASE_URL"
        )
    unfinished = cluster.with_name(f"{cluster.name}.unfinished")
    maker = None if uid is None else named_uid()
    secret = _prepare(unfinished, uid=maker, password=password)
    command = _initdb(binaries, unfinished / "data", secret)
    process = spawn(command, uid=maker, dies_by=SIGKILL, log=log)
    try:
        code = await ended(process, within_s=CREATE_WITHIN_S)
    finally:
        process.kill()
        process.wait()
    if code != 0:
        raise DatabaseUnavailable(f"the embedded database could not be made; the end of {log} says why")
    if uid is not None:
        give(unfinished / "data", uid)
    (unfinished / "data").rename(cluster)
    shutil.rmtree(unfinished)


def check_version(cluster: Path) -> None:
    """Raises `NotConfigured` when another major version made it."""
    found = (cluster / "PG_VERSION").read_text().strip()
    if found != str(MAJOR_VERSION):
        raise NotConfigured(
            f"{cluster} is of Postgres {found}, this release brings {MAJOR_VERSION}; dump and restore it"
        )


def _remembered(place: Path) -> Path:
    cluster = Path(place.read_text().strip())
    if not exists(cluster):
        raise NotConfigured(f"the database in {cluster} is gone; delete {place} to begin with an empty one")
    return cluster


def _sheltered(data_dir: Path, *, uid: int | None, root: Path) -> Path:
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    folder = root / name
    try:
        make_passable(root)
        make_passable(folder)
    except OSError as error:
        raise NotConfigured(_NO_PLACE.format(data_dir=data_dir, root=root)) from error
    if not can_reach(folder, uid):
        raise NotConfigured(_NO_PLACE.format(data_dir=data_dir, root=root))
    return folder / _FOLDER


_NO_PLACE = (
    "Postgres does not run as root, and another user can reach neither {data_dir} nor {root};"
    " set DATA_DIR to a folder below open folders, or DATABASE_URL to another database"
)


def _prepare(folder: Path, *, uid: int | None, password: str) -> Path:
    """An empty folder with the password in a file, both for the maker alone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    if uid is not None:
        give(folder, uid)
    return secret


def _initdb(binaries: Binaries, cluster: Path, secret: Path) -> list[str]:
    return [
        str(binaries.program("initdb")),
        f"--pgdata={cluster}",
        f"--username={SUPERUSER}",
        f"--pwfile={secret}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        # Sorts by code point and folds case by Unicode, the same on every machine and for ever.
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
    ]
