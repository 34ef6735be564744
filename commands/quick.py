"""A quick start for a process that stays: no search for garbage while it loads, and no colours.

Nearly everything that is made while a server starts lives as long as the server. To search it again and again
for garbage costs a twentieth of the start, and later each full search would walk through it and stop the
loop meanwhile.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["keep_what_is_loaded", "loading", "without_colours"]


def loading() -> None:
    """No garbage is searched for until `keep_what_is_loaded`."""
    gc.disable()


def keep_what_is_loaded() -> None:
    """Never search what there is now, but all that comes. Repeats safely."""
    gc.freeze()
    gc.enable()


@contextmanager
def without_colours() -> Iterator[None]:
    """What is imported here finds no `rich`, unless it was there before.

    structlog loads it, with a highlighter for 500 languages, for a console that nobody of ours writes to: our
    lines are JSON. That is a tenth of the start and 8 MB. Whoever asks for it later gets it.
    """
    if "rich" in sys.modules:
        yield
        return
    # The import system's own sign for "there is none".
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["rich"]
