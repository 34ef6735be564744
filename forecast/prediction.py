"""What a method answers: a value with its interval for each date asked, and by which method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

__all__ = ["METHOD_NAMES", "Method", "Point", "not_below_zero"]


class Method(StrEnum):
    PROPHET = "prophet"
    SEASONAL_NAIVE = "seasonal_naive"
    MEAN = "mean"
    CONSTANT = "constant"


METHOD_NAMES: Mapping[Method, str] = {  # for people, inside a sentence
    Method.PROPHET: "Prophet",
    Method.SEASONAL_NAIVE: "the last season repeated",
    Method.MEAN: "the mean of the history",
    Method.CONSTANT: "the same value again",
}


@dataclass(frozen=True, slots=True)
class Point:
    day: date
    yhat: float
    lower: float
    upper: float


def not_below_zero(points: Sequence[Point]) -> tuple[Point, ...]:
    """For what cannot be negative: whatever is below zero becomes zero."""
    return tuple(
        replace(point, yhat=max(point.yhat, 0.0), lower=max(point.lower, 0.0), upper=max(point.upper, 0.0))
        for point in points
    )
