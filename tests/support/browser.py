"""A real Chromium without a window, as it comes from npm: no root, no system library, no display.

The package brings the browser and its libraries compressed with brotli, which node can read.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from tests.support.npm import installed, node
from tests.support.process import environment

__all__ = ["browsing"]

PACKAGE = "@sparticuz/chromium"
VERSION = "153.0.0"
# It asks nobody but the test: no updates, no reports, no accounts.
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
)
UNPACK = """
const { pipeline } = require("node:stream/promises");
const { createReadStream, createWriteStream } = require("node:fs");
const { createBrotliDecompress } = require("node:zlib");
const [from, to] = process.argv.slice(1);
pipeline(createReadStream(from), createBrotliDecompress(), createWriteStream(to, { mode: 0o755 }));
"""
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir></fontconfig>
"""


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """A browser of its own, with nothing in it; each page context is a person's."""
    home = await asyncio.to_thread(installed, PACKAGE, VERSION, prepare=_unpack)
    settings = {"LD_LIBRARY_PATH": str(home / "lib"), "FONTCONFIG_FILE": str(home / "fonts.conf")}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=home / "chromium",
            args=QUIET,
            env=dict(environment(settings)),
            # Its sandbox needs rights that neither root nor a container has; it opens our own pages only.
            chromium_sandbox=False,
        )
        try:
            yield browser
        finally:
            await browser.close()


def _unpack(home: Path) -> None:
    packed = home / "node_modules" / PACKAGE / "bin"
    _decompress(packed / "chromium.br", home / "chromium")
    _extract(packed / "al2023.tar.br", home / "lib")
    _extract(packed / "fonts.tar.br", home / "fonts")
    (home / "fonts.conf").write_text(FONTS, encoding="utf-8")
    shutil.rmtree(home / "node_modules")


def _extract(packed: Path, folder: Path) -> None:
    """The files of an archive, side by side."""
    folder.mkdir()
    archive = folder / packed.stem
    _decompress(packed, archive)
    with tarfile.open(archive) as members:
        for member in members:
            if (content := members.extractfile(member)) is not None:
                (folder / Path(member.name).name).write_bytes(content.read())
    archive.unlink()


def _decompress(packed: Path, target: Path) -> None:
    subprocess.run([*node(), "-e", UNPACK, str(packed), str(target)], check=True, capture_output=True)
