"""As whom Postgres runs, and what that user can reach.

Postgres refuses uid 0. As root we lend it a uid nobody has, rather than create a user or open the folders
above the project; what lies behind a closed folder is then kept under `REACHABLE_ROOT` instead.
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from foundation.errors import NotConfigured

__all__ = ["REACHABLE_ROOT", "can_reach", "give", "has_name", "make_passable", "named_uid", "server_uid"]

REACHABLE_ROOT = Path("/var/lib/switchyard")

# Below 65536, so that it exists in a user namespace; outside the ranges that distributions hand out.
UNPRIVILEGED_UID = 54_432


def server_uid() -> int | None:
    """The uid the server runs under; None when it may stay who we are."""
    return UNPRIVILEGED_UID if os.geteuid() == 0 else None


def named_uid() -> int:
    """A uid with a name, for `initdb` insists on one; `nobody` where there is one.

    Raises:
        NotConfigured: root is the only user.
    """
    users = [user for user in pwd.getpwall() if user.pw_uid != 0]
    if not users:
        raise NotConfigured(
            "the embedded database needs one user besides root in /etc/passwd, such as nobody"
        )
    return min(users, key=lambda user: user.pw_name != "nobody").pw_uid


def has_name(uid: int) -> bool:
    """Whether the machine's user database knows `uid`."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def can_reach(path: Path, uid: int | None) -> bool:
    """Whether `uid` may pass through every folder down to `path`, itself included; None is ourselves."""
    if uid is None:
        return True
    resolved = path.resolve()
    return all(_lets_through(each.stat(), uid) for each in (resolved, *resolved.parents))


def give(folder: Path, uid: int) -> None:
    """Make everything under `folder` the property of `uid`."""
    os.chown(folder, uid, uid)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent, name), uid, uid, follow_symlinks=False)


def make_passable(folder: Path) -> None:
    """Make `folder` so that others may pass through, whatever our umask; one that exists stays as it is."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)


def _lets_through(status: os.stat_result, uid: int) -> bool:
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == uid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
