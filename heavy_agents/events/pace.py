"""Whose events are stored next: everybody's, but under load a run's text at most 20 times a second.

A run that has only text to store, and nobody waiting for it, can be left out for a moment: its chunks then
become one row instead of several. With few runs nothing is gained by that, so nobody waits.

Text also goes 100 times a second at most, of all runs together: streams of many runs would otherwise be
stored one token a time. One stream alone is slower than that and never waits, and no run waits with its first
words, which are what a person waits for.
"""

from __future__ import annotations

from collections.abc import Iterable

from heavy_agents.events.writer import Writer

__all__ = ["BUSY_RUNS", "GAP_S", "TEXT_S", "has_only_text", "ready"]

# Runs with something to store at the same moment.
BUSY_RUNS = 64
# Seconds between two rows of one run's text under load.
TEXT_S = 0.05
# Seconds between two flushes of nothing but text.
GAP_S = 0.01


def ready(writers: Iterable[Writer], *, now_s: float) -> tuple[list[Writer], bool]:
    """Those to be stored now, and whether some were left out; `now_s` as the writers' loop tells the time."""
    dirty = [writer for writer in writers if writer.is_dirty]
    if len(dirty) <= BUSY_RUNS:
        return dirty, False
    due = [each for each in dirty if each.is_urgent or now_s - each.text_stored_s >= TEXT_S]
    return due, len(due) < len(dirty)


def has_only_text(writers: Iterable[Writer]) -> bool:
    """Whether nothing among what waits to be stored is more than text, and nobody waits for it."""
    return not any(writer.is_urgent for writer in writers if writer.is_dirty)
