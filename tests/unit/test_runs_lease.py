from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import DatabaseUnavailable
from heavy_agents.events import LeaseLost
from heavy_agents.runs.lease import LEASE_S, Lease


class Hands:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)

    def monotonic(self) -> float:
        return self.now_s


def lease_at(clock: Hands) -> Lease:
    return Lease(uuid4(), sent_at_s=clock.now_s, clock=clock)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 2)), max_size=20), st.floats(0, 20))
def test_authority_ends_before_the_lease_could_have(beats: list[tuple[float, float]], wait_s: float) -> None:
    """Whatever the pauses between beats and the time each answer takes."""
    clock = Hands()
    lease = lease_at(clock)
    newest_sent_s = clock.now_s
    for pause_s, answer_s in beats:
        clock.now_s += pause_s
        newest_sent_s = clock.now_s
        clock.now_s += answer_s
        lease.renewed(sent_at_s=newest_sent_s)
    clock.now_s += wait_s

    assert not lease.holds or clock.now_s < newest_sent_s + LEASE_S - 0.99


def test_a_late_answer_to_an_early_beat_takes_nothing_back() -> None:
    clock = Hands()
    lease = lease_at(clock)
    lease.renewed(sent_at_s=103)
    lease.renewed(sent_at_s=101)
    clock.now_s = 106.5

    assert lease.holds


async def test_a_call_is_repeated_until_it_is_answered() -> None:
    lease = lease_at(Hands())
    answers = [DatabaseUnavailable("away"), DatabaseUnavailable("away"), 42]

    async def call() -> int:
        answer = answers.pop(0)
        if isinstance(answer, DatabaseUnavailable):
            raise answer
        assert isinstance(answer, int)
        return answer

    assert await lease.insist(call) == 42


async def test_nothing_is_repeated_once_authority_has_ended() -> None:
    clock = Hands()
    lease = lease_at(clock)
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        clock.now_s += 3
        raise DatabaseUnavailable("away")

    with pytest.raises(LeaseLost):
        await lease.insist(call)
    assert calls == 2
