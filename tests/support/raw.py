"""Requests sent as they are, byte for byte: what a client library would refuse to send."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import urlsplit

import httpx2

__all__ = ["exchange", "request_head"]


def request_head(method: str, path: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A head that asks for the connection to be closed after the answer."""
    lines = [f"{method} {path} HTTP/1.1", "host: x", "connection: close"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers), "", ""]).encode()


async def exchange(url: str, request: bytes, *, within_s: float = 10) -> httpx2.Response | None:
    """What the server at `url` answers before it closes; None when it closes without a word."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(request)
        async with asyncio.timeout(within_s):
            return _read(await reader.read())
    except ConnectionError:
        return None
    finally:
        writer.close()


def _read(answer: bytes) -> httpx2.Response | None:
    if not answer:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return httpx2.Response(int(status.split()[1]), headers=pairs, content=body)
