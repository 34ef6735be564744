"""A model provider that says one word every so often to very many at once, and costs next to nothing.

    python -m benchmarks.paced_model TOKENS TOKENS_A_SECOND

Prints its port. Each word is the moment it is written, `time.monotonic_ns()` in twenty digits, so that
whoever hears it on this machine knows how long it was under way. Streams begin at moments of their own within
the first pause, as people do.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from typing import Final, cast

import uvloop

LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
END_OF_HEAD: Final = b"\r\n\r\n"
HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def _chunk(**changes: object) -> bytes:
    choice = {"index": 0, "delta": {}, "finish_reason": None, **changes}
    document = {
        "id": "chatcmpl-paced",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "scripted",
        "choices": [choice],
    }
    return b"data: %b\n\n" % json.dumps(document, separators=(",", ":")).encode()


def _usage(tokens: int) -> bytes:
    counts = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
    document = {"id": "chatcmpl-paced", "object": "chat.completion.chunk", "choices": [], "usage": counts}
    return b"data: %b\n\n" % json.dumps({**document, "created": 1_700_000_000, "model": "scripted"}).encode()


def _framed(part: bytes) -> bytes:
    """A chunk of HTTP/1.1."""
    return b"%x\r\n%b\r\n" % (len(part), part)


BEGIN: Final = HEAD + _framed(_chunk(delta={"role": "assistant", "content": ""}))
BEFORE, AFTER = _chunk(delta={"content": " @"}).split(b"@")
STOP: Final = _framed(_chunk(finish_reason="stop"))
DONE: Final = _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Speaker(asyncio.Protocol):
    """One connection; one question at a time."""

    def __init__(self, *, tokens: int, between_s: float) -> None:
        self._tokens = tokens
        self._between_s = between_s
        self._end = STOP + _framed(_usage(tokens)) + DONE
        self._asked = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A stream's transport writes; uvloop's is of a class of its own.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._asked += data
        head, found, body = self._asked.partition(END_OF_HEAD)
        length = LENGTH.search(head)
        if not found or length is None or len(body) < int(length[1]):
            return
        self._asked = b""
        self._transport.write(BEGIN)
        # Jitter, not a secret.
        first_s = self._loop.time() + random.random() * self._between_s  # noqa: S311
        self._loop.call_at(first_s, self._speak, first_s, self._tokens)

    def _speak(self, due_s: float, left: int) -> None:
        if self._transport.is_closing():
            return
        if left == 0:
            self._transport.write(self._end)
            return
        self._transport.write(_framed(b"%b%020d%b" % (BEFORE, time.monotonic_ns(), AFTER)))
        due_s += self._between_s
        self._loop.call_at(due_s, self._speak, due_s, left - 1)


async def main(tokens: int, tokens_a_second: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: Speaker(tokens=tokens, between_s=1 / tokens_a_second), "127.0.0.1", 0
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), float(sys.argv[2])))
