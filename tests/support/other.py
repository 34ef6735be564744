"""Another backend as far as one that forwards runs can see: it says what a test has told it to, over TLS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from starlette.types import Send

from tests.support.web import Answer, Asked, Web, serve_web

__all__ = ["EXECUTE", "Other", "Told", "chunk", "done", "error", "serve_other"]

EXECUTE = "/api/agent/execute-validated"

# Any: messages of the wire.
Message = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """One answer: a stream of these messages, or what stands in its place.

    Attributes:
        is_silent: nothing comes after them, and the stream does not end.
    """

    messages: Sequence[Message] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    is_silent: bool = False


def chunk(seq: int, content: str, step: str = "turn-1") -> Message:
    return {"type": "chunk", "seq": seq, "content": content, "step": step}


def done(seq: int, response: str = "", **more: object) -> Message:
    return {"type": "done", "seq": seq, "response": response, "usage": {"modelCalls": 1}, **more}


def error(seq: int, code: str, text: str = "it failed there") -> Message:
    return {"type": "error", "seq": seq, "code": code, "error": text, "response": None}


class Other:
    def __init__(self, web: Web) -> None:
        self.web = web
        self.url = f"https://localhost:{web.port}"
        self.run_id = uuid4()
        # Of the run, for whoever looks at it or cancels it.
        self.status = "running"
        self.usage: dict[str, int] = {}

    def play(self, *told: Told, files: dict[str, bytes] | None = None) -> UUID:
        """Answer the start with the first, each question for the events with the next; the last one stays."""
        self.run_id, self.status, self.usage = uuid4(), "running", {}
        self.web.asked.clear()
        rest = list(told)

        async def answer(send: Send) -> None:
            await _say(send, rest.pop(0) if len(rest) > 1 else rest[0], run_id=self.run_id)

        run = f"/api/runs/{self.run_id}"
        self.web.answers = {
            EXECUTE: answer,
            f"{run}/events": answer,
            run: self._document(),
            f"{run}/cancel": self._document(cancels=True),
        }
        for name, content in (files or {}).items():
            self.web.reply(f"{run}/artifacts/{name}", content, headers={"content-type": "text/csv"})
        return self.run_id

    @property
    def begun(self) -> list[Asked]:
        return self.web.asked_for(EXECUTE)

    @property
    def followed(self) -> list[Asked]:
        return self.web.asked_for(f"/api/runs/{self.run_id}/events")

    @property
    def cancelled(self) -> list[Asked]:
        return self.web.asked_for(f"/api/runs/{self.run_id}/cancel")

    def _document(self, *, cancels: bool = False) -> Answer:
        async def answer(send: Send) -> None:
            if cancels:
                self.status = "cancelled"
            body = json.dumps({"runId": str(self.run_id), "status": self.status, "usage": self.usage})
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body.encode()})

        return answer


async def _say(send: Send, told: Told, *, run_id: UUID) -> None:
    headers = {"content-type": "text/event-stream; charset=utf-8", **told.headers}
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": told.status, "headers": lines})
    frames = [f"data: {json.dumps({**each, 'runId': str(run_id)})}\n\n" for each in told.messages]
    body = told.raw if told.raw is not None else "".join(["retry: 1000\n\n", *frames]).encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if told.is_silent:
        await asyncio.sleep(60)
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def serve_other(certificate: Path, key: Path) -> AsyncIterator[Other]:
    async with serve_web(certificate=certificate, key=key) as web:
        yield Other(web)
