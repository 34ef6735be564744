"""A wrong clock for one process: Debian's libfaketime, preloaded into it.

Only what asks for the date is told another one; waits and timeouts go by the monotonic clock, which is right.
"""

from __future__ import annotations

from tests.support.debian import unpacked

__all__ = ["wrong_clock"]

PACKAGE = "libfaketime"


def wrong_clock(*, offset_s: int) -> dict[str, str]:
    """The environment of a process whose date is so many seconds ahead; negative for behind."""
    (library,) = unpacked(PACKAGE).rglob("libfaketime.so.1")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"{offset_s:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }
