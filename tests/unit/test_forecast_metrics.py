from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast import metrics

NUMBERS = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30)


@given(NUMBERS)
def test_a_perfect_forecast_has_no_error(actual: list[float]) -> None:
    assert metrics.mae(actual, actual) == 0
    assert metrics.smape(actual, actual) == 0
    assert metrics.coverage(actual, actual, actual) == 1


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=1, max_size=30))
def test_smape_stays_between_0_and_200(pairs: list[tuple[float, float]]) -> None:
    actual, predicted = zip(*pairs, strict=True)

    assert 0 <= metrics.smape(actual, predicted) <= 200 + 1e-9


def test_the_errors_of_a_small_example_are_as_by_hand() -> None:
    actual, predicted = [100.0, 200.0], [110.0, 180.0]

    assert metrics.mae(actual, predicted) == 15
    assert metrics.smape(actual, predicted) == pytest.approx((200 * 10 / 210 + 200 * 20 / 380) / 2)
    assert metrics.mase(actual, predicted, scale=5) == 3
    assert metrics.coverage([1, 2, 3, 4], [1, 0, 4, 0], [1, 5, 5, 3]) == 0.5


def test_repeating_the_season_inside_the_history_has_a_mase_of_one() -> None:
    history = [1.0, 5.0, 2.0, 7.0, 3.0, 9.0]
    scale = metrics.seasonal_scale(history, season=2)

    assert metrics.mase(history[2:], history[:-2], scale=scale) == 1


@pytest.mark.parametrize("history", [[1.0, 2.0, 3.0], [4.0] * 20, [1.0, 2.0, 3.0] * 5])
def test_without_change_over_a_season_there_is_no_scale(history: list[float]) -> None:
    assert metrics.seasonal_scale(history, season=3) is None
    assert metrics.mase([1.0], [2.0], scale=None) is None


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        metrics.mae([1.0, 2.0], [1.0])
