"""What the doctor says of one thing, and the facts it is said from.

Whoever asks the outside world brings facts; whoever decides what they mean is pure. A check that broke or
took too long brings `Broken` instead, which is a finding as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Broken", "Finding", "Level", "off", "ok", "skipped", "warning", "wrong"]


class Level(StrEnum):
    """`off` is not set and fine; `warning` works and may surprise; only `wrong` fails the whole."""

    OK = "ok"
    OFF = "off"
    SKIPPED = "skipped"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """`todo` says what to do about it."""

    check: str
    level: Level
    says: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    """A check that did not come to its facts."""

    why: str


def ok(check: str, says: str) -> Finding:
    return Finding(check, Level.OK, says)


def off(check: str, says: str) -> Finding:
    return Finding(check, Level.OFF, says)


def skipped(check: str, says: str) -> Finding:
    return Finding(check, Level.SKIPPED, says)


def warning(check: str, says: str, todo: str) -> Finding:
    return Finding(check, Level.WARNING, says, todo)


def wrong(check: str, says: str, todo: str) -> Finding:
    return Finding(check, Level.WRONG, says, todo)
