"""A real pgbouncer that pools transactions, as the pooler of a project does: Debian's, on its own port."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGKILL, SIGTERM
from urllib.parse import SplitResult, urlsplit

import asyncpg

from foundation.db.embedded.process import spawn
from tests.support.debian import unpacked
from tests.support.process import free_port, until

__all__ = ["pooling"]

READY_WITHIN_S = 20.0
PACKAGES = ("pgbouncer", "libevent-2.1-7", "libc-ares2")
NOBODY = 65534


@asynccontextmanager
async def pooling(url: str) -> AsyncIterator[str]:
    """The address of a pooler before the server of `url`: each transaction on any free connection."""
    parts, port = urlsplit(url), free_port()
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    (folder / "config").write_text(_config(parts, port=port))
    _install(folder)
    program = ("/usr/bin/env", f"LD_LIBRARY_PATH={folder}", str(folder / "pgbouncer"))
    command = [*program, str(folder / "config")]
    # As root it refuses to run.
    uid = NOBODY if os.getuid() == 0 else None
    if uid is not None:
        os.chown(folder, uid, uid)
    process = spawn(command, uid=uid, dies_by=SIGTERM, log=folder / "log")
    pooled = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{port}")).geturl()

    async def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            connection = await asyncpg.connect(pooled, statement_cache_size=0)
        except (OSError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    try:
        await until(answers, within_s=READY_WITHIN_S)
        yield pooled
    finally:
        process.send_signal(SIGKILL)
        process.wait()
        shutil.rmtree(folder)


def _install(folder: Path) -> None:
    """Into a folder that whoever runs it can get to, unlike the one where it is kept."""
    root = unpacked(*PACKAGES)
    for file in (root / "usr" / "sbin" / "pgbouncer", *(root / "usr" / "lib").glob("*/lib*.so.*")):
        shutil.copy(file, folder / file.name)


def _config(server: SplitResult, *, port: int) -> str:
    login = f"user={server.username} password={server.password}"
    return f"""
[databases]
* = host=127.0.0.1 port={server.port} {login}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
ignore_startup_parameters = extra_float_digits
"""
