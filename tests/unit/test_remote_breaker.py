"""When another backend is asked, and when it is left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heavy_agents.agents.remote.breaker import FAILURES, FIRST_REST_S, LONGEST_REST_S, Breaker


def opened(*, at_s: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(at_s)
    return breaker


def test_some_failures_in_a_row_open_it() -> None:
    breaker = Breaker()

    told = [breaker.failed(0.0) for _ in range(FAILURES)]

    assert told == [False] * (FAILURES - 1) + [True]
    assert breaker.is_open
    assert not breaker.may_ask(FIRST_REST_S / 2)


def test_an_answer_between_them_starts_the_count_again() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed(0.0)
    breaker.answered()

    breaker.failed(0.0)

    assert not breaker.is_open


def test_after_its_rest_one_may_try_and_the_others_wait_for_that() -> None:
    breaker = opened()

    asked = [breaker.may_ask(FIRST_REST_S) for _ in range(10)]

    assert asked == [True] + [False] * 9


def test_a_try_that_is_answered_closes_it() -> None:
    breaker = opened()
    breaker.may_ask(FIRST_REST_S)

    assert breaker.answered()
    assert not breaker.is_open
    assert all(breaker.may_ask(FIRST_REST_S) for _ in range(3))
    assert not breaker.answered()


def test_a_try_that_fails_gives_it_a_longer_rest_up_to_the_longest() -> None:
    breaker, now_s, rests = opened(), 0.0, list[float]()
    for _ in range(8):
        rest_s = next(step / 4 for step in range(1_000) if breaker.may_ask(now_s + step / 4))
        now_s += rest_s
        rests.append(rest_s)
        assert not breaker.failed(now_s)

    assert rests == [min(FIRST_REST_S * 2**n, LONGEST_REST_S) for n in range(8)]


def test_a_try_whose_end_nobody_tells_is_followed_by_another() -> None:
    breaker = opened()
    assert breaker.may_ask(FIRST_REST_S)

    assert breaker.may_ask(2 * FIRST_REST_S)


@given(st.lists(st.tuples(st.sampled_from(["ask", "fail", "answer"]), st.floats(0, 100)), max_size=60))
def test_it_never_shuts_for_ever(steps: list[tuple[str, float]]) -> None:
    breaker, now_s = Breaker(), 0.0
    for what, later_s in steps:
        now_s += later_s
        if what == "ask":
            breaker.may_ask(now_s)
        elif what == "fail":
            breaker.failed(now_s)
        else:
            breaker.answered()

    assert breaker.may_ask(now_s + LONGEST_REST_S)
