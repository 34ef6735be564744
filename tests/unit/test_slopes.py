"""What grows is told from what only goes up and down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.slopes import slope_of

EVERY_S = 5.0
LOOKS = 120


@given(st.floats(0, 1000), st.floats(-5, 5))
def test_a_line_is_told_by_what_it_gains_in_ten_minutes(began: float, a_minute: float) -> None:
    slope = slope_of([(n * EVERY_S, began + a_minute * n * EVERY_S / 60) for n in range(LOOKS)])

    assert slope.gained == pytest.approx(a_minute * 10, abs=1e-6)
    assert slope.is_flat(abs(a_minute) * 10 + 0.001)
    assert a_minute < 0.001 or not slope.is_flat(a_minute * 9)


def test_what_comes_and_goes_is_flat() -> None:
    slope = slope_of([(n * EVERY_S, 20.0 + n % 7) for n in range(LOOKS)])

    assert slope.is_flat(1)
    assert (slope.third, slope.last) == (23, 23)


def test_what_is_filled_in_the_first_half_is_flat() -> None:
    assert slope_of([(n * EVERY_S, float(min(n, LOOKS // 2))) for n in range(LOOKS)]).is_flat(0.001)


def test_a_few_looks_say_nothing() -> None:
    with pytest.raises(ValueError, match="7 looks are too few"):
        slope_of([(float(n), 1.0) for n in range(7)])
