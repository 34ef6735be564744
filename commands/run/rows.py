"""Growing text as rows of a screen: which are complete, and what the last one has so far.

Pure. A complete row is never changed by what follows it, so it can be printed for good; only the last one is
drawn again.
"""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

__all__ = ["complete_rows"]


def complete_rows(text: str, width: int) -> tuple[list[str], str]:
    """The complete rows at the beginning of `text`, and the rest.

    Args:
        width: columns of the screen; a wide character takes two.
    """
    *lines, rest = text.expandtabs(4).split("\n")
    rows = [row for line in lines for row in _all_rows(line, width)]
    *full, rest = _all_rows(rest, width)
    return rows + full, rest


def _all_rows(line: str, width: int) -> list[str]:
    rows = []
    while cell_len(line) > width:
        fits = len(set_cell_size(line, width).rstrip(" ")) or 1
        fits = min(fits, len(line))
        # At the last space that fits, also one right after; a longer word is cut.
        space = line.rfind(" ", 1, fits + 1)
        end = space if space > 0 else fits
        rows.append(line[:end].rstrip(" "))
        line = line[end:].removeprefix(" ")
    return [*rows, line]
