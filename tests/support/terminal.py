"""A command at a real terminal, and what that terminal was sent."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios

from tests.support.process import ROOT, environment

__all__ = ["CODES", "Terminal", "shown"]

COLUMNS, ROWS = 80, 24
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """One verb, whose stdin, stdout and stderr are one terminal."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self._reading = asyncio.create_task(asyncio.to_thread(_read_all, master))

    @classmethod
    async def begin(cls, *arguments: str, **settings: str) -> Terminal:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "railway_server.py",
            *arguments,
            cwd=ROOT,
            env={**environment(settings), "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        return cls(process, master)

    async def end(self) -> tuple[int, str]:
        """The exit code and everything the terminal was sent."""
        async with asyncio.timeout(60):
            code = await self.process.wait()
            return code, (await self._reading).decode()


def shown(sent: str) -> list[str]:
    """The rows a person sees in the end, those that have scrolled away too, without blanks at their ends.

    It knows what our screens use: colours, a row erased, the cursor at the first column, up, hidden.
    """
    rows: list[list[str]] = [[]]
    row = column = 0
    for part in re.split(rf"({CODES.pattern}|[\r\n])", sent):
        if part in {"\r", "\x1b[1G"}:
            column = 0
        elif part == "\n":
            row += 1
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            rows[row] = []
        elif not CODES.fullmatch(part):
            for letter in part:
                # A full row stays the cursor's until something more is written.
                if column == COLUMNS:
                    row, column = row + 1, 0
                rows += [[] for _ in range(row + 1 - len(rows))]
                rows[row] += [" "] * (column + 1 - len(rows[row]))
                rows[row][column] = letter
                column += 1
        rows += [[] for _ in range(row + 1 - len(rows))]
    return ["".join(each).rstrip() for each in rows]


def _read_all(master: int) -> bytes:
    sent = b""
    while True:
        try:
            block = os.read(master, 65_536)
        except OSError:
            # How Linux says that nobody holds the other side any more.
            block = b""
        if not block:
            os.close(master)
            return sent
        sent += block
