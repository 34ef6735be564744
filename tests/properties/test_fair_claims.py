"""Who is given a slot: the database decides as a few lines of Python do, whoever waits and runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.properties.talk import Talk

USERS = 4
KINDS = ("chat", "forecast", "bill")
FOREIGN = "of another release"
WORKERS = ("w1", "w2")

WAIT = """
insert into switchyard.runs (
  id, user_id, kind, status, agent, messages, input, metadata, credits_owner, hold_credits, queue_deadline_at,
  queued_at
)
values ($1, $2, $3, 'queued', '{"name": "a"}', '[]', '{}', '{}', 'off', 0, now() + interval '1 hour',
  now() + $4 * interval '1 ms')
"""
WAITS = st.tuples(st.just("wait"), st.integers(1, USERS), st.sampled_from((*KINDS, FOREIGN)))
# A flood: what one user sends at once, all of a kind.
FLOODS = st.tuples(st.just("flood"), st.integers(1, USERS), st.sampled_from(KINDS))
CLAIMS = st.tuples(st.just("claim"), st.sampled_from(WORKERS), st.integers(1, 5))
ENDS = st.tuples(st.just("end"), st.sampled_from(WORKERS), st.integers(0, 7))
LIVES = st.lists(st.one_of(WAITS, FLOODS, FLOODS, CLAIMS, CLAIMS, ENDS), max_size=25)


@dataclass(frozen=True)
class Run:
    number: int  # its age: the smallest is the oldest
    user: int
    kind: str


@dataclass
class Queue:
    """The law, as the reader of a decision record would write it down."""

    slots: int
    waiting: list[Run] = field(default_factory=list)
    held: dict[str, list[Run]] = field(default_factory=lambda: {worker: [] for worker in WORKERS})

    def claim(self, worker: str) -> Run | None:
        held = self.held[worker]
        half = max(self.slots // 2, 1)
        users, kinds = Counter(run.user for run in held), Counter(run.kind for run in held)
        mine = [run for run in self.waiting if run.kind in KINDS]
        if not mine:
            return None
        turn = min(mine, key=lambda run: (users[run.user] >= half, kinds[run.kind] >= half, run.number))
        self.waiting.remove(turn)
        held.append(turn)
        return turn


def _live(talk: Talk, life: list[tuple[str, int | str, int | str]], slots: int) -> None:
    queue, number = Queue(slots), 0
    talk.do(talk.sql.connection.execute("delete from switchyard.runs"))
    for what, who, more in life:
        if what in {"wait", "flood"}:
            for _ in range(slots if what == "flood" else 1):
                number += 1
                queue.waiting.append(Run(number, int(who), str(more)))
                user = UUID(int=int(who))
                talk.do(talk.sql.connection.execute(WAIT, UUID(int=number), user, str(more), number))
        elif what == "claim":
            worker = str(who)
            limit = min(int(more), slots - len(queue.held[worker]))
            claimed = talk.do(talk.sql.claim(worker, limit=limit, slots=slots, kinds=KINDS))
            expected = [run for _ in range(limit) if (run := queue.claim(worker)) is not None]
            assert [UUID(claim["run_id"]).int for claim in claimed] == [run.number for run in expected]
        elif held := queue.held[str(who)]:
            ended = held.pop(int(more) % len(held))
            talk.do(
                talk.sql.connection.execute(
                    "delete from switchyard.runs where id = $1", UUID(int=ended.number)
                )
            )


def test_the_oldest_whose_turn_it_is_gets_the_slot(shared: Talk) -> None:
    @given(LIVES, st.integers(1, 6))
    def whatever_waits_and_runs(life: list[tuple[str, int | str, int | str]], slots: int) -> None:
        _live(shared, life, slots)

    whatever_waits_and_runs()


@pytest.mark.parametrize(
    ("fair", "unfair"),
    [
        ("array(select u from unnest(v_users) u group by u having count(*) >= c_most)", "array[]::uuid[]"),
        (
            "array(select k from unnest(v_kinds) k where k = any (p_kinds) "
            "group by k having count(*) >= c_most)",
            "array[]::text[]",
        ),
        ("r := switchyard.oldest_waiting(v_spent, v_full, v_losses);", "null;"),
        ("r := switchyard.oldest_waiting(v_spent, c_nobody, v_losses);", "null;"),
    ],
)
def test_without_a_part_of_the_law_somebody_is_shut_out(fresh: Talk, fair: str, unfair: str) -> None:
    name = "public.switchyard_runs_claim"
    source: str = fresh.do(
        fresh.sql.connection.fetchval("select pg_get_functiondef($1::text::regproc)", name)
    )
    assert fair in source
    fresh.do(fresh.sql.connection.execute(source.replace(fair, unfair)))

    @settings(derandomize=True, max_examples=1_000, phases=[Phase.generate], report_multiple_bugs=False)
    @given(LIVES, st.integers(2, 6))
    def whatever_waits_and_runs(life: list[tuple[str, int | str, int | str]], slots: int) -> None:
        _live(fresh, life, slots)

    with pytest.raises(AssertionError):
        whatever_waits_and_runs()
