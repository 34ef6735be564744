"""What an agent emits: joined without losing text, cleaned into what the database can keep."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Json
from heavy_agents.events import encode, tidy
from heavy_agents.events.event import Draft
from heavy_agents.events.merge import MAX_CHUNK_BYTES, merge
from tests.properties.talk import Talk
from tests.properties.values import VALUES, as_doubles

TEXTS = st.text(max_size=20) | st.sampled_from(["x" * 6_000, "x" * 20_000])


def _draft(type_: str, data: dict[str, Json]) -> Draft:
    return Draft(type_, data, len(encode(data)))


CHUNKS = st.builds(
    lambda text, step: _draft("chunk", {"content": text, "step": step} if step else {"content": text}),
    TEXTS,
    st.sampled_from([None, "one", "two"]),
)
OTHERS = st.builds(lambda note: _draft("progress", {"note": note, "fraction": 0.5}), st.text(max_size=5))
DRAFTS = st.lists(CHUNKS | CHUNKS | OTHERS, max_size=30)


@given(DRAFTS)
def test_merging_keeps_every_steps_text_and_every_other_event_in_order(drafts: list[Draft]) -> None:
    assert _told(merge(drafts)) == _told(drafts)


@given(DRAFTS)
def test_merging_makes_nothing_longer_than_a_chunk_may_be(drafts: list[Draft]) -> None:
    given_whole = max((draft.size_bytes for draft in drafts), default=0)

    assert all(draft.size_bytes <= max(MAX_CHUNK_BYTES, given_whole) for draft in merge(drafts))


@given(DRAFTS)
def test_merging_never_makes_more_events_and_never_understates_their_size(drafts: list[Draft]) -> None:
    merged = merge(drafts)

    assert len(merged) <= len(drafts)
    assert all(draft.size_bytes >= len(encode(draft.data)) for draft in merged)


@given(DRAFTS, st.data())
def test_merging_in_two_flushes_tells_the_same(drafts: list[Draft], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(drafts)))

    assert _told(merge(drafts[:cut]) + merge(drafts[cut:])) == _told(merge(drafts))


# Any: whatever an agent hands over.
@given(VALUES)
def test_what_is_tidied_can_be_stored_and_comes_back_the_same(shared: Talk, value: Any) -> None:
    tidied = tidy(value)

    stored = shared.do(shared.sql.connection.fetchval("select $1::jsonb", tidied))

    assert as_doubles(stored) == as_doubles(tidied)


# Any: whatever an agent hands over.
@given(VALUES)
def test_tidying_what_is_tidy_changes_nothing(value: Any) -> None:
    tidied = tidy(value)

    assert tidy(tidied) == tidied


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_good_text_is_left_as_it_is(text: str) -> None:
    assert tidy(text) == text


def _told(drafts: list[Draft]) -> list[tuple[str, object]]:
    """What a reader learns: neighbouring chunks of one step are one text."""
    told: list[tuple[str, object]] = []
    for key, group in groupby(drafts, key=lambda draft: (draft.type == "chunk", draft.data.get("step"))):
        is_chunk, step = key
        if is_chunk:
            told.append((f"text of {step}", "".join(str(draft.data["content"]) for draft in group)))
        else:
            told.extend((draft.type, draft.data) for draft in group)
    return told
