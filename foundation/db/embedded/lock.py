"""One server per data folder: the second one is told so instead of sharing its files."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from foundation.errors import NotConfigured

__all__ = ["FolderLock", "FolderTaken"]


class FolderTaken(NotConfigured):
    """`holder` is the process that has the folder, as it wrote itself down."""

    def __init__(self, folder: Path, *, holder: str) -> None:
        super().__init__(f"another server (process {holder}) uses {folder}; stop it, or set DATA_DIR")
        self.holder = holder


class FolderLock:
    """Held from `take` to `free`, or to the end of the process, however it ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises `FolderTaken` when another server holds it."""
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode().strip()
            os.close(descriptor)
            raise FolderTaken(self._file.parent, holder=holder) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor

    def free(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
