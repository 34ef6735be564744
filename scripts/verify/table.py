"""How the checks went: a row each, printed as it is known, and one line at the end."""

from __future__ import annotations

from collections import Counter

__all__ = ["FAILED", "OK", "SKIPPED", "Table"]

OK, FAILED, SKIPPED = "ok", "FAILED", "skipped"
WIDTH = 30


class Table:
    def __init__(self) -> None:
        self._results: Counter[str] = Counter()
        self._line("check", "result", "what was seen")
        print(f"{'-' * WIDTH}-+---------+-{'-' * 40}", flush=True)

    def add(self, check: str, result: str, seen: str) -> None:
        self._results[result] += 1
        # What a server says must neither break the table nor reach the terminal as control codes.
        shown = "".join(letter if letter.isprintable() else " " for letter in seen)
        self._line(check, result, shown)

    def close(self) -> bool:
        """Whether nothing failed."""
        ok, failed, skipped = (self._results[each] for each in (OK, FAILED, SKIPPED))
        print(f"\n{ok} ok, {failed} failed, {skipped} skipped")
        if skipped:
            print("What was skipped was not checked.")
        return failed == 0

    def _line(self, check: str, result: str, seen: str) -> None:
        print(f"{check:<{WIDTH}} | {result:<7} | {seen}", flush=True)
