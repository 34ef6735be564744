"""How one reply is sent, and where the script breaks it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Protocol

from starlette.types import Send

from tests.support.model.log import Asked
from tests.support.model.script import Fault, Reply
from tests.support.model.stream import completion, pieces, words_in

__all__ = ["Cut", "answer"]

STREAM = "text/event-stream; charset=utf-8"


class Cut(Protocol):
    """Breaks the connection."""

    def __call__(self, *, is_reset: bool) -> None: ...


async def answer(reply: Reply, asked: Asked, *, send: Send, cut: Cut) -> str:
    """Send it; returns how it ended. Cancelled when the client leaves."""
    fault = reply.get("fault", {})
    await _wait(reply.get("before_head_s", 0))
    if fault.get("kind") == "hang":
        await asyncio.Event().wait()
    if fault.get("kind") == "status":
        await _refuse(fault, asked, send=send)
        return "refused"
    asked.status, asked.tokens = 200, words_in(reply, asked.body)
    if not asked.body.get("stream"):
        await _document(send, json.dumps(completion(reply, asked.body)).encode(), "application/json")
        return "complete"
    if fault.get("kind") == "content_type":
        await _document(send, b"<html><body>Sign in to this network</body></html>", "text/html")
        return "cut"
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", STREAM.encode())]}
    )
    await _wait(reply.get("before_first_s", 0))
    events = pieces(reply, asked.body)
    if not fault:
        await _stream(send, events, between_s=reply.get("between_s", 0))
        await send({"type": "http.response.body"})
        return "complete"
    return await _break(fault, events, send=send, cut=cut)


async def _break(fault: Fault, events: Sequence[bytes], *, send: Send, cut: Cut) -> str:
    whole = b"".join(events)
    split = round(len(whole) * fault.get("after", 0.5))
    if fault["kind"] == "no_done":
        await _stream(send, events[:-1])
    elif split:
        await _write(send, whole[:split])
    match fault["kind"]:
        case "reset" | "close" as kind:
            cut(is_reset=kind == "reset")
            return "cut"
        case "silence":
            await asyncio.Event().wait()
        case "garbage":
            await _write(send, b"\n\ndata: {this is no JSON}\n\n")
        case "error":
            error = {"error": {"message": "a secret of the provider", "code": 500}}
            await _write(send, b"\n\ndata: " + json.dumps(error).encode() + b"\n\n")
        case "long_line":
            await _write(send, b"\n\ndata: " + b"x" * fault.get("size_bytes", 10_000_000))
        case "drip":
            for byte in whole[split:]:
                await _write(send, bytes([byte]))
                await asyncio.sleep(fault.get("every_s", 1.0))
        case _:
            pass
    await send({"type": "http.response.body"})
    return "cut"


async def _refuse(fault: Fault, asked: Asked, *, send: Send) -> None:
    asked.status = fault.get("status", 500)
    error = {
        "message": "a secret of the provider",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    body = fault.get("text") or json.dumps({"error": {**error, **fault.get("error", {})}})
    await _document(
        send,
        body.encode(),
        "application/json",
        status=asked.status,
        headers=list(fault.get("headers", {}).items()),
    )


async def _document(
    send: Send,
    body: bytes,
    content_type: str,
    *,
    status: int = 200,
    headers: Sequence[tuple[str, str]] = (),
) -> None:
    lines = [(name.encode(), value.encode()) for name, value in [*headers, ("content-type", content_type)]]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Send, events: Sequence[bytes], *, between_s: float = 0) -> None:
    for event in events:
        await _write(send, event)
        await _wait(between_s)


async def _write(send: Send, part: bytes) -> None:
    await send({"type": "http.response.body", "body": part, "more_body": True})


async def _wait(for_s: float) -> None:
    if for_s:
        await asyncio.sleep(for_s)
