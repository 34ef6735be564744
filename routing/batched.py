"""Joining what is written to one client: few writes, and none too long.

Pure. The next write waits until a client has taken enough of the last; who stops reading leaves one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["WRITE_BYTES", "batched"]

WRITE_BYTES: Final = 16 * 1024


def batched(parts: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The same parts in order; a batch ends with the part that brings it to `WRITE_BYTES`."""
    batch: list[bytes] = []
    size_bytes = 0
    for part in parts:
        batch.append(part)
        size_bytes += len(part)
        if size_bytes >= WRITE_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
