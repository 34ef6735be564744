"""Joining what is written to one client: few writes, and none too long.

Pure. The next write waits until a client has taken enough of the last, so each must have a bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["WRITE_BYTES", "batched"]

WRITE_BYTES: Final = 64 * 1024


def batched(parts: Iterable[bytes], *, about_bytes: int = WRITE_BYTES) -> Iterator[list[bytes]]:
    """The same parts in order; a batch ends with the part that brings it to `about_bytes`."""
    batch: list[bytes] = []
    size_bytes = 0
    for part in parts:
        batch.append(part)
        size_bytes += len(part)
        if size_bytes >= about_bytes:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
