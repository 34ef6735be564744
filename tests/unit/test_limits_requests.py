from __future__ import annotations

import threading
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.limits import (
    LimitVerdict,
    RequestLimit,
    RequestLimitReached,
    address_key,
    caller_key,
)
from foundation.limits.counters import BoundedCounters
from routing.document import problem


class Hands:
    """Seconds since the epoch, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


async def test_requests_are_allowed_up_to_the_quota_of_a_minute() -> None:
    hands = Hands()
    limit = RequestLimit(3, now=hands)

    verdicts = [await limit.check("a") for _ in range(5)]

    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False, False]
    assert [verdict.remaining for verdict in verdicts] == [2, 1, 0, 0, 0]
    assert {verdict.reset_s for verdict in verdicts} == {60}


async def test_a_window_begins_with_the_first_request_and_ends_a_minute_later() -> None:
    hands = Hands()
    limit = RequestLimit(1, now=hands)
    await limit.check("a")

    hands.now_s += 59.5
    assert await limit.check("a") == LimitVerdict(allowed=False, quota=1, window_s=60, remaining=0, reset_s=1)

    hands.now_s += 0.5
    assert (await limit.check("a")).allowed


async def test_callers_are_counted_apart() -> None:
    limit = RequestLimit(1, now=Hands())

    assert (await limit.check("a")).allowed
    assert (await limit.check("b")).allowed
    assert not (await limit.check("a")).allowed


async def test_two_limits_share_nothing() -> None:
    first, second = RequestLimit(1, now=Hands()), RequestLimit(1, now=Hands())

    assert (await first.check("a")).allowed
    assert (await second.check("a")).allowed


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 90)), max_size=60), st.integers(1, 5))
async def test_no_window_holds_more_than_the_quota(asked: list[tuple[str, int]], quota: int) -> None:
    hands, allowed_at = Hands(), dict[str, list[float]]()
    limit = RequestLimit(quota, now=hands)

    for key, gap_s in asked:
        hands.now_s += gap_s
        if (await limit.check(key)).allowed:
            allowed_at.setdefault(key, []).append(hands.now_s)

    for times in allowed_at.values():
        for start in times:
            # A fixed window lets two quotas meet at its edge, and never more.
            assert sum(start <= time < start + 60 for time in times) <= 2 * quota


async def test_counting_starts_no_thread() -> None:
    before = threading.active_count()
    limit = RequestLimit(10)

    for number in range(100):
        await limit.check(str(number))

    assert threading.active_count() == before


def test_ended_windows_are_forgotten() -> None:
    hands = Hands()
    counters = BoundedCounters(now=hands)
    for number in range(1000):
        counters.incr(str(number), 60)

    hands.now_s += 60
    counters.incr("new", 60)

    assert len(counters) == 1


def test_a_flood_of_callers_does_not_grow_the_table() -> None:
    counters = BoundedCounters(max_keys=100, now=Hands())

    for number in range(1000):
        counters.incr(str(number), 60)

    assert len(counters) == 100
    assert counters.get("999") == 1
    assert counters.get("0") == 0


def test_counters_can_be_cleared() -> None:
    counters = BoundedCounters(now=Hands())
    counters.incr("a", 60, 2)
    counters.incr("b", 60)

    counters.clear("a")
    assert (counters.get("a"), counters.get("b")) == (0, 1)
    assert counters.reset() == 1
    assert counters.check()


def test_the_client_is_told_in_the_fields_of_the_draft() -> None:
    verdict = LimitVerdict(allowed=False, quota=600, window_s=60, remaining=0, reset_s=17)

    with pytest.raises(RequestLimitReached) as refusal:
        verdict.raise_if_refused()

    assert refusal.value.headers() == {
        "Retry-After": "17",
        "RateLimit-Policy": '"requests";q=600;w=60',
        "RateLimit": '"requests";r=0;t=17',
    }
    document = problem(refusal.value, "r1")
    assert (document["status"], document["code"], document["retryAfter"]) == (429, "rate_limited", 17)


def test_an_allowed_request_goes_on() -> None:
    LimitVerdict(allowed=True, quota=1, window_s=60, remaining=0, reset_s=60).raise_if_refused()


@pytest.mark.parametrize(
    ("peer", "real_ip", "key"),
    [
        ("203.0.113.7", None, "address:203.0.113.7"),
        ("10.0.0.1", "203.0.113.7", "address:203.0.113.7"),
        ("10.0.0.1", " 203.0.113.7 ", "address:203.0.113.7"),
        ("10.0.0.1", "not an address", "address:10.0.0.1"),
        ("10.0.0.1", "1.1.1.1, 2.2.2.2", "address:10.0.0.1"),
        ("::ffff:203.0.113.7", None, "address:203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", None, "address:2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", None, "address:2001:db8:1:2::/64"),
        ("testclient", None, "address:unknown"),
        (None, None, "address:unknown"),
    ],
)
def test_a_client_is_known_by_its_address(peer: str | None, real_ip: str | None, key: str) -> None:
    assert address_key(peer, real_ip=real_ip) == key


def test_a_caller_is_not_taken_for_an_address() -> None:
    assert caller_key(UUID(int=1)) == "user:00000000-0000-0000-0000-000000000001"
