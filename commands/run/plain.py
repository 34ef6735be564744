"""A run for a program or a file: the answer on stdout, what happens beside it on stderr, no control codes.

Text comes as a whole at the end, because in a pipe no word can be taken back; who wants it as it comes asks
for the messages themselves, one line of JSON each.
"""

from __future__ import annotations

import sys

import orjson

from commands.run.words import Message, clean, line_of

__all__ = ["JsonLines", "Plain", "Quiet"]


class Plain:
    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def open(self) -> None:
        """Nothing to prepare."""

    def close(self) -> None:
        """Nothing to put back."""

    def headline(self, line: str) -> None:
        self.notice(line)

    def message(self, message: Message, *, taken_back: int) -> None:
        del taken_back  # none of it was shown
        if (line := line_of(message, base_url=self._base_url)) is not None and message["type"] != "done":
            self.notice(f"{message['type']} {line}")

    def answer(self, text: str, *, is_whole: bool, is_seen: bool) -> None:
        """What the run came to; a part of it only is no answer, so it stays out of the pipe."""
        del is_seen  # not in this shape
        if is_whole:
            print(clean(text), flush=True)  # noqa: T201
        elif text:
            self.notice(f"what it had said so far: {clean(text)}")

    def ending(self, line: str, *, is_done: bool) -> None:
        del is_done  # the line says it
        self.notice(line)

    def result(self, document: Message, line: str) -> None:
        """What another thing than a run came to: the server's document, or a line about it."""
        del document
        print(line, flush=True)  # noqa: T201

    def notice(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201


class Quiet(Plain):
    """Only the answer."""

    def notice(self, line: str) -> None:
        """Nothing is told."""


class JsonLines(Plain):
    """Every message as the server sent it, the text that was taken back later too."""

    def headline(self, line: str) -> None:
        """The messages say it."""

    def message(self, message: Message, *, taken_back: int) -> None:
        del taken_back  # `discardAfter` says it
        print(orjson.dumps(message).decode(), flush=True)  # noqa: T201

    def answer(self, text: str, *, is_whole: bool, is_seen: bool) -> None:
        """In the last message."""

    def ending(self, line: str, *, is_done: bool) -> None:
        """In the last message."""

    def result(self, document: Message, line: str) -> None:
        del line  # for people
        print(orjson.dumps(document).decode(), flush=True)  # noqa: T201
