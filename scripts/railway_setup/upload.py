"""The files of the message server, gathered where Railway finds nothing else."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.railway_setup.railway import Stopped
from scripts.railway_setup.services import NATS_IMAGE

__all__ = ["nats_files"]

DOCKERFILE = Path(NATS_IMAGE)
COPIED = re.compile(r"^COPY (?!--from)(?:--\S+ )*(?P<sources>.+) \S+$", re.MULTILINE)


@contextmanager
def nats_files() -> Iterator[str]:
    """A folder with its Dockerfile and what that copies, until the block ends.

    Raises:
        Stopped: it is not there.
    """
    if not DOCKERFILE.exists():
        raise Stopped(f"{DOCKERFILE} is not in this folder")
    with tempfile.TemporaryDirectory() as folder:
        copied = COPIED.finditer(DOCKERFILE.read_text(encoding="utf-8"))
        for source in (NATS_IMAGE, *(name for found in copied for name in found["sources"].split())):
            target = Path(folder, source)
            target.parent.mkdir(parents=True, exist_ok=True)
            if Path(source).is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy2(source, target)
        yield folder
