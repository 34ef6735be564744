"""What a run costs: it grows with use, is whole, and never passes what is held."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from foundation.errors import Json, NotConfigured
from heavy_agents.credits import Blame, Price, Usage, charge, cost, parse_price

CREDITS = st.integers(0, 1_000_000)
COUNTS = st.integers(0, 10**9)
ELAPSED_MS = st.integers(0, 10**9)
PRICES = st.builds(
    lambda flat, per_1k_tokens, per_minute, above: Price(
        flat, per_1k_tokens, per_minute, min(flat + bool(per_1k_tokens or per_minute) + above, 1_000_000)
    ),
    st.integers(0, 999_999),
    CREDITS,
    CREDITS,
    CREDITS,
)
USAGES = st.builds(Usage, *[COUNTS] * 6)


@given(PRICES, USAGES, USAGES, ELAPSED_MS, ELAPSED_MS)
def test_more_use_never_costs_less(price: Price, used: Usage, more: Usage, ms: int, more_ms: int) -> None:
    before = cost(price, used, elapsed_ms=ms)

    assert cost(price, used + more, elapsed_ms=ms + more_ms) >= before


@given(PRICES, USAGES, ELAPSED_MS, st.sampled_from(["flat", "per_1k_tokens", "per_minute"]), CREDITS)
def test_a_higher_price_never_costs_less(price: Price, used: Usage, ms: int, part: str, extra: int) -> None:
    dearer = Price(**asdict(price) | {part: asdict(price)[part] + extra})

    assert cost(dearer, used, elapsed_ms=ms) >= cost(price, used, elapsed_ms=ms)


@given(PRICES, USAGES, ELAPSED_MS)
def test_each_part_is_rounded_up_by_less_than_a_credit(price: Price, used: Usage, ms: int) -> None:
    tokens = used.input_tokens + used.output_tokens
    in_60000ths = price.flat * 60_000 + price.per_1k_tokens * tokens * 60 + price.per_minute * ms

    rounded_up = cost(price, used, elapsed_ms=ms) * 60_000 - in_60000ths

    assert 0 <= rounded_up < 2 * 60_000


@given(st.sampled_from(Blame), PRICES, USAGES, ELAPSED_MS)
def test_a_charge_is_never_below_zero_nor_above_the_ceiling(
    blame: Blame, price: Price, used: Usage, ms: int
) -> None:
    assert 0 <= charge(blame, price, used, elapsed_ms=ms) <= price.ceiling


@given(st.sampled_from(Blame), PRICES, USAGES, USAGES, ELAPSED_MS)
def test_a_charge_never_falls_as_a_run_goes_on(
    blame: Blame, price: Price, used: Usage, more: Usage, ms: int
) -> None:
    before = charge(blame, price, used, elapsed_ms=ms)

    assert charge(blame, price, used + more, elapsed_ms=ms + 1) >= before


@given(PRICES, USAGES, ELAPSED_MS)
def test_the_platforms_fault_is_free(price: Price, used: Usage, ms: int) -> None:
    assert charge(Blame.PLATFORM, price, used, elapsed_ms=ms) == 0


@given(PRICES, USAGES, ELAPSED_MS)
def test_a_used_up_hold_costs_the_hold(price: Price, used: Usage, ms: int) -> None:
    used += Usage(model_calls=1)
    assume(cost(price, used, elapsed_ms=ms) >= price.ceiling)

    assert charge(Blame.BUDGET, price, used, elapsed_ms=ms) == price.ceiling


@pytest.mark.parametrize(
    "stored",
    [
        {"flat": 5, "ceiling": 3},
        {"flat": 1, "per_minute": 1},
        {"flat": 1, "per_1k_tokens": 1, "ceiling": 1},
        {"flat": 0, "per_1k_tokens": 1},
    ],
)
def test_a_price_whose_ceiling_leaves_nothing_for_what_it_counts_is_no_price(stored: dict[str, Json]) -> None:
    with pytest.raises(NotConfigured, match="ceiling"):
        parse_price(stored)


@given(PRICES, ELAPSED_MS)
def test_stopping_before_the_first_call_is_free(price: Price, ms: int) -> None:
    assert charge(Blame.USER, price, Usage(), elapsed_ms=ms) == 0
    assert charge(Blame.BUDGET, price, Usage(), elapsed_ms=ms) == 0


@given(PRICES)
def test_a_stored_price_is_read_as_it_was_written(price: Price) -> None:
    assert parse_price(asdict(price)) == price


@given(USAGES, USAGES)
def test_usage_survives_storage_and_adds_up(one: Usage, other: Usage) -> None:
    assert Usage.from_json(one.to_json()) == one
    assert one + other == other + one
