"""How texts become the bytes of a WebSocket that a server sends: whole, without a mask, not compressed.

Pure. Source: RFC 6455, section 5.2 "Base Framing Protocol".
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

__all__ = ["frames"]

FINAL_TEXT: Final = 0x81
LENGTH_16: Final = 126
LENGTH_64: Final = 127


def frames(texts: Iterable[bytes]) -> bytes:
    """A frame for each of `texts`, which are UTF-8."""
    return b"".join(part for text in texts for part in (_head(len(text)), text))


def _head(size_bytes: int) -> bytes:
    if size_bytes < LENGTH_16:
        return bytes((FINAL_TEXT, size_bytes))
    if size_bytes < 1 << 16:
        return struct.pack("!BBH", FINAL_TEXT, LENGTH_16, size_bytes)
    return struct.pack("!BBQ", FINAL_TEXT, LENGTH_64, size_bytes)
