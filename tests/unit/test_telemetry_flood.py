"""A thing that is said often is told once a minute, with how often it was kept back."""

from __future__ import annotations

from foundation.telemetry.flood import MAX_KNOWN, Flood


def test_the_same_thing_is_told_once_a_minute_with_what_was_kept_back() -> None:
    flood = Flood(quiet_s=60)

    told = [flood.unsent("a", now_s) for now_s in (0, 1, 59.9, 60, 61, 200)]

    assert told == [0, None, None, 2, None, 1]


def test_different_things_do_not_keep_each_other_back() -> None:
    flood = Flood(quiet_s=60)

    assert [flood.unsent(thing, 0) for thing in "abc"] == [0, 0, 0]


def test_only_so_many_things_are_remembered() -> None:
    flood = Flood(quiet_s=60)
    for number in range(MAX_KNOWN + 1):
        flood.unsent(number, 0)

    assert flood.unsent(MAX_KNOWN, 1) is None
    assert flood.unsent(0, 1) == 0
