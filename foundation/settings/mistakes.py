"""What a refused start raises."""

from __future__ import annotations

from foundation.errors import StartRefused

__all__ = ["SettingsError"]


class SettingsError(StartRefused):
    """The start is refused; `lines` holds one sentence a mistake."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
