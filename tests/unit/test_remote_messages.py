"""What another backend says, before any of it becomes an event here."""

from __future__ import annotations

import pytest

from heavy_agents.agents.remote.errors import Refused
from heavy_agents.agents.remote.messages import Message, event_of, number_of
from heavy_agents.agents.remote.verdict import usage_of

NEWEST_POSSIBLE = 2**31 - 1


def retry(discard_after: object, **changes: object) -> Message:
    return {"type": "retry", "seq": 5, "step": "a", "discardAfter": discard_after, **changes}


@pytest.mark.parametrize("number", [0, 1, NEWEST_POSSIBLE])
def test_a_retry_says_after_which_event_all_is_taken_back(number: int) -> None:
    assert event_of(retry(number)) == ("retry", {"step": "a", "discardAfter": number})


@pytest.mark.parametrize("number", [True, False, -1, NEWEST_POSSIBLE + 1, 2**63, 2.0, "2", None])
def test_a_retry_after_what_is_no_event_s_number_is_refused(number: object) -> None:
    with pytest.raises(Refused) as refused:
        event_of(retry(number))

    assert refused.value.why == "malformed_message"


@pytest.mark.parametrize("attempt", [True, "2", 1.5, NEWEST_POSSIBLE + 1, -1])
def test_what_may_be_missing_is_left_out_when_it_is_no_count(attempt: object) -> None:
    assert event_of(retry(3, attempt=attempt)) == ("retry", {"step": "a", "discardAfter": 3})


def test_a_truth_is_no_number_and_a_number_no_truth() -> None:
    progress = {"type": "progress", "fraction": True, "note": "half"}
    result = {"type": "tool_result", "step": "t", "name": "n", "ok": 1, "result": False}

    assert event_of(progress) == ("progress", {"note": "half"})
    assert event_of(result) == ("tool_result", {"step": "t", "name": "n", "result": False})


def test_a_truth_is_no_usage() -> None:
    assert (
        usage_of({"modelCalls": True, "inputTokens": 2}).to_json() == usage_of({"inputTokens": 2}).to_json()
    )


@pytest.mark.parametrize("seq", [True, 0, -3, "4", 4.0, NEWEST_POSSIBLE + 1])
def test_what_no_event_can_have_is_no_number(seq: object) -> None:
    assert number_of({"seq": seq}) is None
