from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heavy_agents.llm.budget import RetryBudget


@given(st.lists(st.booleans(), max_size=200))
def test_retries_never_exceed_ten_and_a_fifth_of_the_calls(is_call: list[bool]) -> None:
    budget = RetryBudget()
    calls = retries = 0

    for each in is_call:
        if each:
            budget.deposit()
            calls += 1
        else:
            retries += budget.take()
        assert retries <= 10 + calls / 5
        assert 0 <= budget.retries <= 10


@given(st.lists(st.booleans(), max_size=200))
def test_a_retry_is_refused_only_when_none_is_left(is_call: list[bool]) -> None:
    budget = RetryBudget()

    for each in is_call:
        if each:
            budget.deposit()
        else:
            assert (budget.retries > 0) == budget.take()


def test_five_calls_earn_a_retry() -> None:
    budget = RetryBudget()
    while budget.take():
        pass

    for _ in range(5):
        assert budget.retries == 0
        budget.deposit()

    assert budget.retries == 1
