"""What the scripted model was asked, in the order it began and ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from tests.support.model.script import Body

__all__ = ["Asked", "CallLog", "read_log"]


@dataclass
class Asked:
    """One call.

    Attributes:
        number: of the process, from 1; a new script does not begin again.
        call_id: the `X-Client-Request-Id`; a client's own retries have the same.
        connection: the client's port.
        ended: "complete", "cut" (by the script), "left" (by the client), "refused" (by status) or None.
        tokens: what the answer has cost in full, when it began with 200.
        began, over: places in one count of all beginnings and ends.
        over_s: when it was over, by the machine's monotonic clock.
    """

    number: int
    call_id: str
    is_authorized: bool
    model: str
    body: Body
    connection: int
    began: int
    status: int | None = None
    ended: str | None = None
    tokens: dict[str, Any] | None = None
    over: int | None = None
    over_s: float | None = None


class CallLog:
    """In memory; in `file` too, a line when a call begins and one when it is over: the later one counts."""

    def __init__(self, file: Path | None = None) -> None:
        self.calls: list[Asked] = []
        self._file = file
        self._numbers = count(1)
        self._moments = count(1)
        self._news = asyncio.Condition()

    async def begin(self, headers: Mapping[str, str], body: Body, *, connection: int) -> Asked:
        asked = Asked(
            number=next(self._numbers),
            call_id=headers.get("x-client-request-id", ""),
            is_authorized=headers.get("authorization", "").startswith("Bearer "),
            model=str(body.get("model", "")),
            body=body,
            connection=connection,
            began=next(self._moments),
        )
        self.calls.append(asked)
        await self._write(asked)
        return asked

    async def end(self, asked: Asked, ended: str) -> None:
        asked.ended = ended
        asked.over = next(self._moments)
        asked.over_s = time.monotonic()
        await self._write(asked)

    async def forget(self) -> None:
        async with self._news:
            self.calls.clear()

    async def until_called(self, n: int, *, within_s: float = 30.0) -> None:
        """Return once there were `n` calls."""
        async with asyncio.timeout(within_s), self._news:
            await self._news.wait_for(lambda: len(self.calls) >= n)

    async def until_ended(self, n: int, *, within_s: float = 30.0) -> None:
        """Return once `n` calls are over."""
        async with asyncio.timeout(within_s), self._news:
            await self._news.wait_for(lambda: sum(call.over is not None for call in self.calls) >= n)

    async def _write(self, asked: Asked) -> None:
        if self._file is not None:
            with self._file.open("ab") as file:
                file.write(orjson.dumps(asdict(asked)) + b"\n")
        async with self._news:
            self._news.notify_all()


def read_log(file: Path) -> list[Asked]:
    """The calls of a log file, each as it was last written."""
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    return [Asked(**line) for line in {line["number"]: line for line in lines}.values()]
