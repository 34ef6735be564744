"""Joining what is written to one client: few writes, and none too long.

Pure. The next write waits until a client has taken enough of the last; who stops reading leaves one. What was
handed on is let go, for there may be hundreds who stop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

__all__ = ["WRITE_BYTES", "batched", "taken"]

WRITE_BYTES: Final = 16 * 1024

T = TypeVar("T")


def batched(parts: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The same parts in order; a batch ends with the part that brings it to `WRITE_BYTES`."""
    full: list[list[bytes]] = []
    batch: list[bytes] = []
    size_bytes = 0
    for part in parts:
        batch.append(part)
        size_bytes += len(part)
        if size_bytes >= WRITE_BYTES:
            full.append(batch)
            batch, size_bytes = [], 0
            yield full.pop()
    if batch:
        yield batch


def taken(items: list[T]) -> Iterator[T]:
    """Each of `items`, which is empty in the end."""
    items.reverse()
    while items:
        yield items.pop()
