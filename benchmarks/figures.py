"""Tables of medians: a row for each subject, a column for each quantity, the least and the most beside it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Medians", "Table"]


@dataclass(frozen=True, slots=True)
class Medians:
    """One cell as JSON keeps it; the unit is in `quantity`."""

    table: str
    subject: str
    quantity: str
    median: float
    least: float
    most: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Table:
    """What was measured, round after round; `digits` after the point are shown."""

    title: str
    quantities: Sequence[str]
    digits: int = 0
    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, subject: str, measured: Mapping[str, float]) -> None:
        """One round of one subject; what it has no figure for is left out."""
        row = self.rows.setdefault(subject, {})
        for quantity, value in measured.items():
            row.setdefault(quantity, []).append(value)

    def medians(self) -> Iterator[Medians]:
        for subject, row in self.rows.items():
            for quantity, values in row.items():
                middle = statistics.median(values)
                yield Medians(
                    self.title, subject, quantity, middle, min(values), max(values), rounds=len(values)
                )

    def print(self) -> None:
        """In Markdown."""
        print(f"\n| {self.title} | {' | '.join(self.quantities)} |")
        print(f"| --- |{' ---: |' * len(self.quantities)}")
        cells = {(each.subject, each.quantity): self._cell(each) for each in self.medians()}
        for subject in self.rows:
            row = (cells.get((subject, quantity), "") for quantity in self.quantities)
            print(f"| {subject} | {' | '.join(row)} |")

    def _cell(self, each: Medians) -> str:
        middle, least, most = (f"{value:.{self.digits}f}" for value in (each.median, each.least, each.most))
        return middle if least == most else f"{middle} ({least} – {most})"
