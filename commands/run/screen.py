"""A run for a person at a terminal: text as it is said, and one line at the bottom that moves.

What is complete is printed and stays; below it a live region holds the row that is being written and how far
the run is. It goes away at the end, so that what remains can be read and copied.
"""

from __future__ import annotations

import sys
from time import monotonic
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from commands.run.rows import complete_rows
from commands.run.words import MARKS, Message, clean, line_of, one_line

__all__ = ["Screen"]

FRAMES_A_SECOND: Final = 8
BAR_COLUMNS: Final = 28
STYLES: Final = {"artifact": "cyan", "retry": "yellow", "done": "green", "error": "red"}


class Screen:
    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._console = Console(highlight=False, emoji=False, markup=False)
        self._spinner = Spinner("dots", style="cyan")
        self._began_s = monotonic()
        self._tail = ""
        self._step: str | None = None
        self._doing = "waiting"
        self._fraction: float | None = None
        self._block = ""
        self._live = self._region()

    def open(self) -> None:
        self._live.start()

    def close(self) -> None:
        self._finish_text()
        self._live.stop()

    def headline(self, line: str) -> None:
        self._print(Text(line, style="bold"), block="head")

    def message(self, message: Message, *, taken_back: int) -> None:
        kind = message["type"]
        if kind == "chunk":
            self._say(message)
        elif kind == "progress":
            self._fraction, self._doing = message.get("fraction"), one_line(message.get("note")) or "working"
        elif kind == "started":
            self._doing = "working"
        elif kind not in {"done", "error"}:
            self._doing = "calling a tool" if kind == "tool_call" else "working"
            self._note(message, taken_back=taken_back)

    def answer(self, text: str, *, is_whole: bool, is_seen: bool) -> None:
        """What was not seen while it was said."""
        del is_whole  # the last line says it
        self._finish_text()
        if text and not is_seen:
            self._print(Markdown(clean(text)), block="answer")

    def ending(self, line: str, *, is_done: bool) -> None:
        self._finish_text()
        kind = "done" if is_done else "error"
        self._print(Text(f"{MARKS[kind]} {line}", style=STYLES[kind]), block="end")

    def result(self, document: Message, line: str) -> None:
        """What another thing than a run came to."""
        del document
        self._print(Text(line), block="result")

    def notice(self, line: str) -> None:
        """On stderr, which may be another place than this screen."""
        self._doing = one_line(line)
        was_moving = self._live.is_started
        self._finish_text()
        self._live.stop()
        print(line, file=sys.stderr, flush=True)  # noqa: T201
        if was_moving:
            # One that was stopped remembers its height, and would begin by erasing the notice.
            self._live = self._region()
            self._live.start(refresh=True)

    def _region(self) -> Live:
        return Live(
            console=self._console,
            get_renderable=self._moving,
            transient=True,
            refresh_per_second=FRAMES_A_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def _say(self, message: Message) -> None:
        if message.get("step") != self._step:
            self._finish_text()
        self._step, self._doing = message.get("step"), "writing"
        rows, self._tail = complete_rows(self._tail + clean(message.get("content") or ""), self._columns)
        if rows:
            self._draw()
            self._print(Text("\n".join(rows)), block=f"text {self._step}")

    def _note(self, message: Message, *, taken_back: int) -> None:
        self._finish_text()
        line = line_of(message, base_url=self._base_url) or ""
        if message["type"] == "retry":
            step = one_line(message.get("step"))
            lost = (
                f"the {taken_back:,} characters it had written do not count"
                if taken_back
                else "nothing is lost"
            )
            line = f"{step} is begun again: {lost}"
        mark = MARKS.get(message["type"], "·")
        told = Text(f"  {mark} {line}", style=STYLES.get(message["type"], "dim"))
        # An address is left to the terminal to break, so that it can be opened and copied.
        is_whole = message["type"] in {"artifact", "retry"}
        if not is_whole:
            told.truncate(self._columns, overflow="ellipsis")
        self._print(told, block="notes", soft_wrap=is_whole)

    def _finish_text(self) -> None:
        tail, self._tail = self._tail, ""
        if tail:
            self._draw()
            self._print(Text(tail), block=f"text {self._step}")

    def _draw(self) -> None:
        """Draw the moving part anew before what has left it is printed, so that no row is seen twice."""
        if self._live.is_started:
            self._live.refresh()

    def _print(self, what: RenderableType, *, block: str, soft_wrap: bool = False) -> None:
        """A blank line between one kind of thing and the next."""
        if self._block not in {"", block}:
            self._console.print()
        self._block = block
        self._console.print(what, soft_wrap=soft_wrap)

    @property
    def _columns(self) -> int:
        return max(self._console.width, 20)

    def _moving(self) -> RenderableType:
        parts: list[RenderableType] = [self._spinner]
        if self._fraction is not None:
            bar = ProgressBar(total=1, completed=self._fraction, width=min(BAR_COLUMNS, self._columns // 3))
            parts += [bar, Text(f"{self._fraction:4.0%}")]
        passed = f"{monotonic() - self._began_s:.0f} s"
        parts += [
            Text(self._doing, style="dim", overflow="ellipsis", no_wrap=True),
            Text(passed, style="dim"),
        ]
        line = Table.grid(padding=(0, 1))
        line.add_row(*parts)
        return Group(*([Text(self._tail)] if self._tail else []), Padding(line, (1, 0, 0, 0)))
