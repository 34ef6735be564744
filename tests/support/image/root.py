"""A root folder that stands for a container: commands in it see nothing above it. For root only.

Each command has mounts of its own, which end with it: /proc, a bare /dev, and what it is told to have.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

__all__ = ["CERTIFICATES", "Mounts", "Root"]

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# Names and certificates of the machine, as a container engine lends them to a build.
LENT = ("/etc/resolv.conf", "/etc/hosts", CERTIFICATES)
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


@dataclass(frozen=True, slots=True)
class Mounts:
    """What is over the root: whether it is read-only, and where there is memory, of root or of all."""

    read_only: bool = False
    writable: tuple[str, ...] = ()
    only_for_root: tuple[str, ...] = ()
    has_shared_memory: bool = True


BARE = Mounts()
ROOTS = "0:0"


class Root:
    def __init__(self, path: Path) -> None:
        self.path = path

    def copy_to(self, path: Path) -> Root:
        if path.exists():
            shutil.rmtree(path)
        subprocess.run(["cp", "--archive", "--reflink=auto", str(self.path), str(path)], check=True)
        return Root(path)

    def run(
        self,
        *command: str,
        environment: Mapping[str, str],
        user: str = ROOTS,
        folder: str = "/",
        mounts: Mounts = BARE,
    ) -> str:
        """Run to its end; all that it says. It must end with 0."""
        outside = self.command(*command, environment=environment, user=user, folder=folder, mounts=mounts)
        done = subprocess.run(
            outside, check=False, stdout=PIPE, stderr=STDOUT, stdin=DEVNULL, text=True, errors="replace"
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout[-4000:]}"
        return done.stdout

    def command(
        self,
        *command: str,
        environment: Mapping[str, str],
        user: str = ROOTS,
        folder: str = "/",
        mounts: Mounts = BARE,
        as_first: bool = False,
    ) -> list[str]:
        """What to execute outside so that `command` runs inside.

        Args:
            as_first: as process 1, with processes of its own, as in a container.
        """
        inside = ["chroot", f"--userspec={user}", f"--groups={user.partition(':')[2]}", str(self.path)]
        inside += ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        inside += ["/bin/sh", "-c", 'cd "$0" && exec "$@"', folder, *command]
        script = "\n".join(["set -e", *self._mounting(mounts), f"exec {shlex.join(inside)}"])
        apart = ["--pid", "--fork"] if as_first else []
        return ["unshare", "--mount", "--propagation=private", *apart, "--", "bash", "-c", script]

    def size_mb(self, part: str = "") -> int:
        done = subprocess.run(
            ["du", "--summarize", "--block-size=M", "--one-file-system", str(self.path / part)],
            check=True,
            capture_output=True,
            text=True,
        )
        return int(done.stdout.partition("M")[0])

    def _mounting(self, mounts: Mounts) -> list[str]:
        root = self.path
        lines = [f"mount --bind {root} {root}", f"mount -t proc proc {root}/proc"]
        if mounts.read_only:
            lines += [f"mount -o remount,bind,ro {root}"]
        lines += [f"mount -t tmpfs -o mode=755,size=1m dev {root}/dev"]
        for name in DEVICES:
            lines += [f"touch {root}/dev/{name}", f"mount --bind /dev/{name} {root}/dev/{name}"]
        lines += [f"ln -s /proc/self/fd {root}/dev/fd", f"mkdir {root}/dev/shm"]
        if mounts.has_shared_memory:
            lines += [f"mount -t tmpfs -o mode=1777,size=64m shm {root}/dev/shm"]
        lines += [f"mount -t tmpfs -o mode=1777 memory {root}{place}" for place in mounts.writable]
        lines += [f"mount -t tmpfs -o mode=755 memory {root}{place}" for place in mounts.only_for_root]
        return lines + [
            f"mount --bind {place} {root}{place}" for place in LENT if Path(f"{root}{place}").exists()
        ]
