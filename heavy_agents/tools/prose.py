"""Text put together from the pieces of a page: words apart by spaces, blocks by lines, up to a limit."""

from __future__ import annotations

from typing import Final

__all__ = ["Prose"]

# What stands between two pieces; of several that meet, the widest.
GAPS: Final = ("", " ", " | ", "\n", "\n\n")


class Prose:
    def __init__(self, max_chars: int) -> None:
        self._left = max_chars
        self._pieces: list[str] = []
        self._gap = ""
        self._mark = ""
        self.is_cut = False

    @property
    def pieces(self) -> int:
        """How many there are; for `since`."""
        return len(self._pieces)

    def since(self, pieces: int) -> str:
        """What was said after the first `pieces`."""
        return "".join(self._pieces[pieces:]).strip()

    def part(self, gap: str) -> None:
        """Keep what follows apart by at least `gap`, one of `GAPS`."""
        self._gap = max(self._gap, gap, key=GAPS.index)

    def mark(self, mark: str) -> None:
        """Begin a line with `mark`, once there is something to put on it."""
        self.part("\n")
        self._mark = mark

    def say(self, text: str) -> None:
        """Add words; runs of white space are one space."""
        if text[:1].isspace():
            self.part(" ")
        if words := " ".join(text.split()):
            self._put(words)
            if text[-1].isspace():
                self.part(" ")

    def quote(self, text: str) -> None:
        """Add text as it is, with its line breaks."""
        if text.strip():
            self._put(text.strip("\n"))
        if text.endswith("\n"):
            self.part("\n")

    def attach(self, text: str) -> None:
        """Add `text` right after the last piece; the gap stays for what follows."""
        self._append(text)

    def __str__(self) -> str:
        return "".join(self._pieces)

    def _put(self, text: str) -> None:
        # Nothing is kept apart from the beginning.
        self._append((self._gap if self._pieces else "") + self._mark + text)
        self._gap = self._mark = ""

    def _append(self, text: str) -> None:
        if len(text) > self._left:
            self.is_cut = True
        if kept := text[: self._left]:
            self._pieces.append(kept)
            self._left -= len(kept)
