"""What is wrong with an input: each mistake with its field and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

__all__ = ["MOST", "BadInput", "Mistake", "refuse"]

MOST = 20  # a series with a wrong column has as many mistakes as rows; nobody reads more than these


@dataclass(frozen=True, slots=True)
class Mistake:
    """`field` is a path inside the input, in wire names: `series[3].value`."""

    field: str
    message: str


class BadInput(Exception):
    """The input cannot be forecast; `errors` holds at least one and at most 20 mistakes."""

    def __init__(self, errors: Iterable[Mistake]) -> None:
        self.errors = tuple(islice(errors, MOST))
        super().__init__("; ".join(f"{each.field}: {each.message}" for each in self.errors[:3]))


def refuse(mistakes: Iterable[Mistake]) -> None:
    """Go on only without mistakes.

    Raises:
        BadInput: there is at least one; no more than are reported are looked for.
    """
    if found := tuple(islice(mistakes, MOST)):
        raise BadInput(found)
