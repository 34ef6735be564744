"""Which text of a run counts, and where text breaks into rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from commands.run.rows import complete_rows
from commands.run.transcript import Order, Transcript
from commands.run.words import Message


def chunk(seq: int, content: str, step: str = "turn-1") -> Message:
    return {"type": "chunk", "seq": seq, "content": content, "step": step}


def retry(seq: int, step: str, discard_after: int) -> Message:
    return {"type": "retry", "seq": seq, "step": step, "attempt": 2, "discardAfter": discard_after}


def test_a_retry_takes_back_the_text_of_its_own_step_after_the_given_number() -> None:
    transcript = Transcript()
    for message in (chunk(1, "kept "), chunk(2, "also ", "turn-2"), chunk(3, "gone ", "turn-2")):
        transcript.take(message)

    taken_back = transcript.take(retry(4, "turn-2", 2))
    transcript.take(chunk(5, "new", "turn-2"))

    assert taken_back == len("gone ")
    assert transcript.text == "kept also new"


def test_text_that_was_taken_back_is_not_the_answer() -> None:
    transcript = Transcript()
    transcript.take(chunk(1, "the answer"))
    assert transcript.has_said("the answer\n")

    transcript.take(retry(2, "turn-1", 0))

    assert not transcript.has_said("the answer")


def test_a_message_is_next_or_seen_or_leaves_a_gap() -> None:
    transcript = Transcript(seq=7)

    orders = [transcript.order_of({"seq": seq}) for seq in (6, 7, 8, 9)]

    assert orders == [Order.SEEN, Order.SEEN, Order.NEXT, Order.GAP]


TEXT = st.text(st.sampled_from("ab \n日—"), max_size=80)


@given(TEXT, st.integers(2, 20))
def test_no_row_is_wider_than_the_screen_and_no_letter_is_lost(text: str, width: int) -> None:
    rows, rest = complete_rows(text, width)

    assert all(cell_len(row) <= width for row in [*rows, rest])
    assert "".join([*rows, rest]).replace(" ", "") == text.replace(" ", "").replace("\n", "")


@given(TEXT, TEXT, st.integers(2, 20))
def test_a_complete_row_is_not_changed_by_what_follows(text: str, more: str, width: int) -> None:
    rows, rest = complete_rows(text, width)
    later, end = complete_rows(rest + more, width)

    assert rows + later == complete_rows(text + more, width)[0]
    assert end == complete_rows(text + more, width)[1]


def test_words_are_kept_whole_where_they_fit() -> None:
    assert complete_rows("one two three four", 9) == (["one two", "three"], "four")
    assert complete_rows("unbreakable", 4) == (["unbr", "eaka"], "ble")
    assert complete_rows("a\n\nb", 9) == (["a", ""], "b")
