"""What one notification says: it fits, it leaves nothing out, and what strangers send says nothing."""

from __future__ import annotations

from uuid import uuid4

import pytest

from foundation.hints.notes import MOST_BYTES, MOST_CANCELS, MOST_STORED, Pending, decode


def test_nothing_to_tell_is_told_by_nobody() -> None:
    assert Pending().take("a") is None


def test_a_note_says_what_has_gathered_and_leaves_nothing() -> None:
    pending, stored, cancelled = Pending(work=True), {uuid4(), uuid4()}, uuid4()
    pending.add(stored)
    pending.cancel(cancelled)

    note = decode(pending.take("a") or "")

    assert note is not None
    assert (note.name, note.work, note.is_about_all) == ("a", True, False)
    assert (set(note.stored), note.cancels) == (stored, (cancelled,))
    assert pending.take("a") is None


def test_what_finds_no_room_is_told_by_the_next_notes_and_each_of_them_fits() -> None:
    pending, cancelled = Pending(), {uuid4() for _ in range(2 * MOST_CANCELS + 1)}
    for run_id in cancelled:
        pending.cancel(run_id)
    pending.add([uuid4() for _ in range(MOST_STORED)])

    payloads = list(iter(lambda: pending.take("a" * 60), None))

    notes = [decode(each or "") for each in payloads]
    assert max(len(each or "") for each in payloads) <= MOST_BYTES
    assert len(notes) == 3
    assert {run_id for note in notes if note for run_id in note.cancels} == cancelled


def test_more_runs_than_a_note_can_name_are_all_runs() -> None:
    pending = Pending()
    pending.add([uuid4() for _ in range(MOST_STORED + 1)])

    note = decode(pending.take("a") or "")

    assert note is not None
    assert (note.is_about_all, note.stored) == (True, ())


@pytest.mark.parametrize(
    "payload", ["", "{", "[]", "null", '"x"', "{}", '{"name": "a", "stored": ["x"]}', "1"]
)
def test_what_none_of_us_has_sent_says_nothing(payload: str) -> None:
    assert decode(payload) is None
