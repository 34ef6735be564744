from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecast import BadInput, Frequency, Mistake, parse
from foundation.errors import Json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
DATE = st.sampled_from(["2024-01-01", "2024-02", "x"]) | JSON
POINT = st.fixed_dictionaries({"date": DATE, "value": JSON}) | JSON
FIELD = st.sampled_from(["series", "horizon", "level", "name", "frequency", "x"])


def days(values: Sequence[Json], first: date = date(2024, 1, 1)) -> list[Json]:
    return [
        {"date": (first + timedelta(days=n)).isoformat(), "value": value} for n, value in enumerate(values)
    ]


def months(values: Sequence[Json]) -> list[Json]:
    return [{"date": f"{2000 + n // 12}-{n % 12 + 1:02}", "value": value} for n, value in enumerate(values)]


def mistakes(raw: dict[str, Json]) -> dict[str, str]:
    with pytest.raises(BadInput) as refused:
        parse(raw)
    return {each.field: each.message for each in refused.value.errors}


def test_a_daily_series_gets_the_usual_horizon_and_level() -> None:
    request = parse({"series": days([1, 2.5, 3, 4, 5, 6, 7, 8])})

    assert request.history.values == (1.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
    assert request.history.frequency is Frequency.DAILY
    assert (request.horizon, request.level, request.non_negative, request.name) == (30, 0.95, False, None)
    assert request.quality.frequency_inferred


def test_a_monthly_series_gets_twelve_months() -> None:
    request = parse({"series": months(range(24))})

    assert (request.history.frequency, request.horizon) == (Frequency.MONTHLY, 12)


def test_what_is_asked_for_is_kept() -> None:
    raw: dict[str, Json] = {
        "series": months(range(24)),
        "frequency": "monthly",
        "horizon": 120,
        "level": 0.8,
        "nonNegative": True,
        "name": "売上",
    }

    request = parse(raw)

    assert (request.horizon, request.level, request.non_negative, request.name) == (120, 0.8, True, "売上")
    assert not request.quality.frequency_inferred


def test_unsorted_dates_are_sorted_with_their_values() -> None:
    request = parse({"series": list(reversed(days(range(10))))})

    assert request.history.values == tuple(float(n) for n in range(10))
    assert request.quality.sorted_by_us


def test_empty_values_and_gaps_are_counted_and_left_out() -> None:
    series = days([1, 2, None, 4, 5, 6, 7, 8, 9, 10, None])
    del series[4]

    quality = parse({"series": series}).quality

    assert (quality.empty_values, quality.trailing_empty, quality.gaps) == (2, 1, 2)


def test_month_ends_are_written_as_month_ends_again() -> None:
    ends = [
        (date(2020 + (n + 1) // 12, (n + 1) % 12 + 1, 1) - timedelta(days=1)).isoformat() for n in range(14)
    ]

    history = parse({"series": [{"date": end, "value": n} for n, end in enumerate(ends)]}).history

    assert history.frequency is Frequency.MONTHLY
    assert history.form.value == "month_end"


def test_a_missing_series_is_named() -> None:
    assert mistakes({}) == {"series": "is missing, wants a list of {date, value}"}


def test_every_wrong_field_is_named_at_once() -> None:
    found = mistakes(
        {
            "series": [
                {"date": "2024-02-30", "value": 1},
                {"date": "2024-03-01", "value": "12"},
                {"date": "2024-03-02"},
                {"date": "2024-03-03", "value": True, "note": "x"},
                7,
            ],
            "frequency": "weekly",
            "horizon": 0,
            "level": 95,
            "nonNegative": "no",
            "name": "two\nlines",
            "horizn": 3,
        }
    )

    assert set(found) == {
        "series[0].date",
        "series[1].value",
        "series[2].value",
        "series[3].value",
        "series[3].note",
        "series[4]",
        "frequency",
        "horizon",
        "level",
        "nonNegative",
        "name",
        "horizn",
    }
    assert found["level"] == "got 95, wants a number from 0.5 to 0.99"


def test_no_more_than_twenty_mistakes_are_reported() -> None:
    assert len(mistakes({"series": days(["x"] * 500)})) == 20


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.1e15, -(10**400)])
def test_a_value_that_is_no_finite_reasonable_number_is_refused(value: float) -> None:
    assert list(mistakes({"series": days([*range(9), value])})) == ["series[9].value"]


def test_a_day_sent_twice_names_both_places() -> None:
    series = [*days(range(10)), *days([5])]

    assert mistakes({"series": series}) == {
        "series[10].date": "is the same day as series[0].date; send one value a day"
    }


def test_two_days_of_one_month_are_refused_in_a_monthly_series() -> None:
    series: list[Json] = [*months(range(12)), {"date": "2000-03", "value": 1}]

    assert list(mistakes({"series": series})) == ["series[12].date"]


def test_days_and_months_in_one_series_are_refused() -> None:
    series: list[Json] = [*days(range(10)), {"date": "2024-05", "value": 1}]

    assert list(mistakes({"series": series})) == ["series[10].date"]


@pytest.mark.parametrize(
    ("series", "needed"),
    [([], 8), (days([1] * 7), 8), (days([1] * 7 + [None] * 5), 8), (months([1] * 11), 12)],
)
def test_too_few_values_say_how_many_are_needed(series: list[Json], needed: int) -> None:
    assert f"needs at least {needed}" in mistakes({"series": series})["series"]


def test_a_weekly_series_is_asked_for_its_frequency() -> None:
    weeks: list[Json] = [
        {"date": (date(2024, 1, 1) + timedelta(weeks=n)).isoformat(), "value": n} for n in range(20)
    ]

    assert list(mistakes({"series": weeks})) == ["frequency"]


def test_daily_months_are_a_contradiction() -> None:
    assert list(mistakes({"series": months(range(24)), "frequency": "daily"})) == ["frequency"]


def test_a_monthly_horizon_ends_at_ten_years() -> None:
    assert list(mistakes({"series": months(range(24)), "horizon": 121})) == ["horizon"]


def test_a_series_too_long_is_refused_before_it_is_read() -> None:
    assert list(mistakes({"series": [None] * 20_001})) == ["series"]


# The first examples of a fresh checkout also build Hypothesis's tables of characters.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(FIELD, JSON | st.lists(POINT)))
def test_any_json_is_read_or_refused_with_a_field(raw: dict[str, Json]) -> None:
    found: Sequence[Mistake] = ()
    try:
        parse(raw)
    except BadInput as refused:
        found = refused.errors or [Mistake("", "")]

    assert len(found) <= 20
    assert all(each.field and each.message for each in found)
    assert all(len(each.field) + len(each.message) < 300 for each in found)


def test_a_mistake_never_repeats_what_json_cannot_carry() -> None:
    found = mistakes({"series": days(range(9)), "name": "\ud800"})

    assert found["name"].encode()


def test_a_multitude_of_unknown_names_is_cut_at_twenty_before_the_model_sees_it() -> None:
    with pytest.raises(BadInput) as of_the_input:
        parse({f"k{number}": 1 for number in range(1000)})
    with pytest.raises(BadInput) as of_points:
        parse({"series": [{f"k{number}": 1} for number in range(1000)]})

    assert [each.field for each in of_the_input.value.errors][:2] == ["k0", "k1"]
    assert [each.field for each in of_points.value.errors][:2] == ["series[0].k0", "series[1].k1"]
    assert len(of_the_input.value.errors) == len(of_points.value.errors) == 20
