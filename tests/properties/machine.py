"""Everything that may happen to runs, in any order, on the real database beside the model.

Leases are kept for ever, so that every rule is also tried with a token that was lost long ago. The one cheat
is `expire`, which ends a lease by writing its time.
"""

from __future__ import annotations

from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from foundation.errors import InsufficientCredits, InternalError, KeyConflict, RunNotFound
from foundation.ids import new_run_id
from tests.properties.accounts import KEYS, USERS, LifeOfAccounts
from tests.properties.model import MAX_ATTEMPTS, TERMINAL, Run
from tests.properties.talk import Talk
from tests.support.sql import Claim, chunks

__all__ = ["LifeOfRuns"]

PICKS = st.integers(0, 7)  # of leases or runs, 0 the newest
WORKERS = st.sampled_from(["w1", "w2"])

SNAPSHOT = """
select jsonb_build_object(
  'audit', public.switchyard_audit(),
  'accounts', (
    select jsonb_object_agg(user_id, jsonb_build_array(credits_remaining, held)) from public.credit_balances
  ),
  'runs', coalesce((
    select jsonb_object_agg(id, jsonb_build_object(
      'facts', jsonb_build_array(status, lease_token, epoch, claims, attempts, last_seq, charged_credits),
      'row', md5(r::text)
    ))
    from switchyard.runs r
  ), '{}')
)
"""


class LifeOfRuns(LifeOfAccounts):
    def __init__(self, talk: Talk) -> None:
        super().__init__(talk)
        self._runs: dict[str, Run] = {}
        self._by_key: dict[tuple[UUID, str], tuple[str, str]] = {}
        self._leases: list[Claim] = []
        self._ended: dict[str, str] = {}

    @rule(
        who=USERS,
        key=st.none() | KEYS,
        body=st.sampled_from(["x", "x", "y"]),
        hold=st.integers(0, 4),
        worker=st.none() | WORKERS,
    )
    def submit(self, who: int, key: str | None, body: str, hold: int, worker: str | None) -> None:
        user, run_id = self._users[who], new_run_id()
        before = self._by_key.get((user, key)) if key else None
        had_queue = any(run.status == "queued" for run in self._runs.values())
        call = self._sql.submit(user, run_id=run_id, key=key, body=body, hold=hold, worker=worker)
        if before and before[1] != body:
            return self._refused(call, KeyConflict)
        if before:
            answer = self._do(call)
            assert (answer["joined"], answer["run"]["run_id"], answer["claim"]) == (True, before[0], None)
            return None
        if hold > self._accounts[user].available and hold > 0:
            return self._refused(call, InsufficientCredits)

        answer = self._do(call)
        run = self._runs[str(run_id)] = Run(run_id, user, hold)
        if key:
            self._by_key[user, key] = (str(run_id), body)
        if hold:
            self._accounts[user].open(run.key, hold)
        assert (answer["claim"] is not None) is (worker is not None and not had_queue)
        if answer["claim"]:
            assert worker
            self._given(worker, answer["claim"])
        return None

    @rule(worker=WORKERS, limit=st.integers(1, 3))
    def claim(self, worker: str, limit: int) -> None:
        held = [run for run in self._runs.values() if (run.status, run.worker) == ("running", worker)]
        most_losses = MAX_ATTEMPTS - 1 - max((run.losses for run in held), default=0)
        waiting = [run for run in self._runs.values() if run.status == "queued" and run.losses <= most_losses]
        suspects = {str(run.id) for run in waiting if run.is_suspect}
        claims = self._do(self._sql.claim(worker, limit=limit))
        most = min(limit, len(waiting))
        assert len(claims) == most or (suspects and 0 < len(claims) < most)
        assert {claim["run_id"] for claim in claims if claim.get("is_suspect")} == {
            claim["run_id"] for claim in claims if claim["run_id"] in suspects
        }
        assert len(claims) == 1 or suspects.isdisjoint(claim["run_id"] for claim in claims)
        assert {claim["run_id"] for claim in claims} <= {str(run.id) for run in waiting}
        for claim in claims:
            self._given(worker, claim)

    @precondition(lambda self: self._leases)
    @rule(worker=WORKERS)
    def heartbeat(self, worker: str) -> None:
        latest = {claim["run_id"]: claim for claim in self._leases}
        answer = self._do(self._sql.heartbeat(*latest.values(), worker=worker))
        kept = [
            run
            for claim in latest.values()
            if (run := self._live(claim)) is not None and run.worker == worker
        ]
        assert sorted(answer["lost"]) == sorted(latest.keys() - {str(run.id) for run in kept})
        assert sorted(answer["cancel"]) == sorted(str(run.id) for run in kept if run.is_cancel_asked)
        for run in kept:
            run.is_expired = False

    @precondition(lambda self: self._leases)
    @rule(pick=PICKS, count=st.integers(1, 2), shift=st.sampled_from([0, 0, -1, 1]))
    def append(self, pick: int, count: int, shift: int) -> None:
        claim = self._lease(pick)
        run, live = self._runs[claim["run_id"]], self._live(claim)
        call = self._sql.append(claim, chunks(run.last_seq + 1 + shift, *["text"] * count))
        if live and shift > 0:
            return self._refused(call, InternalError)
        assert self._do(call) == ([] if live else [claim["run_id"]])
        if live:
            run.last_seq += max(count + shift, 0)
        return None

    @precondition(lambda self: self._leases)
    @rule(pick=PICKS, step=st.sampled_from("abc"), accrued=st.integers(0, 6))
    def save(self, pick: int, step: str, accrued: int) -> None:
        claim = self._lease(pick)
        live = self._live(claim)
        assert self._do(self._sql.save(claim, step, accrued=accrued)) is (live is not None)
        if live:
            live.journaled(step, accrued)

    @precondition(lambda self: self._leases)
    @rule(pick=PICKS, count=st.integers(0, 1))
    def release(self, pick: int, count: int) -> None:
        claim = self._lease(pick)
        live = self._live(claim)
        events = chunks(self._runs[claim["run_id"]].last_seq + 1, *["last"] * count)
        assert self._do(self._sql.release(claim, events)) is (live is not None)
        if live:
            live.last_seq += count
            live.released()

    @precondition(lambda self: self._leases)
    @rule(
        pick=PICKS,
        status=st.sampled_from(sorted(TERMINAL)),
        charge=st.integers(0, 6),
        count=st.integers(0, 1),
    )
    def finish(self, pick: int, status: str, charge: int, count: int) -> None:
        claim = self._lease(pick)
        run, live = self._runs[claim["run_id"]], self._live(claim)
        events = chunks(run.last_seq + 1, *["last"] * count)
        answer = self._do(self._sql.finish(claim, status, charge=charge, events=events))
        assert answer["finished"] is (run.token == claim["token"])
        if live:
            live.last_seq += count
            self._end(live, status, charge, token=claim["token"])
        if answer["finished"]:
            assert (answer["run"]["status"], answer["run"]["credits_used"]) == (run.status, run.charged)
            assert answer["event"]["seq"] == run.last_seq

    @precondition(lambda self: self._runs)
    @rule(who=USERS, pick=PICKS)
    def cancel(self, who: int, pick: int) -> None:
        user, run = self._users[who], self._run(pick)
        call = self._sql.cancel(user, run.id)
        if run.user != user:
            return self._refused(call, RunNotFound)
        assert self._do(call)["already_ended"] is (run.status in TERMINAL)
        run.is_cancel_asked = True
        if run.status == "queued":
            self._end(run, "cancelled", run.accrued, token=None)
        return None

    @precondition(lambda self: self._running)
    @rule(pick=PICKS)
    def expire(self, pick: int) -> None:
        run = self._running[-1 - pick % len(self._running)]
        self._do(self._sql.expire(run.id))
        run.is_expired = True

    @precondition(lambda self: self._running)
    @rule(pick=PICKS, worker=WORKERS)
    def take_over(self, pick: int, worker: str) -> None:
        """The way of every crash, in one go, so that lost leases are common."""
        self.expire(pick)
        self.reap()
        self.claim(worker, 3)

    @precondition(lambda self: self._runs)
    @rule()
    def reap(self) -> None:
        expired = [run for run in self._running if run.is_expired]
        expected = {str(run.id): run.reaping() for run in expired}
        assert self._do(self._sql.reap()) == expected
        # In the database's order, for one account may not cover all.
        for run in sorted(expired, key=lambda each: (each.user, each.id)):
            match expected[str(run.id)]:
                case "requeued":
                    run.queued()
                case "cancelled":
                    self._end(run, "cancelled", run.accrued, token=None)
                case _:
                    self._end(run, "failed", 0, token=None)

    @invariant()
    def the_database_is_as_the_model_says(self) -> None:
        if not self._users:
            return
        found = self._do(self._sql.connection.fetchval(SNAPSHOT))
        assert found["audit"] == []
        assert found["accounts"] == {
            str(user): [account.balance, account.held] for user, account in self._accounts.items()
        }
        assert {run_id: each["facts"] for run_id, each in found["runs"].items()} == {
            run_id: _facts(run) for run_id, run in self._runs.items()
        }
        for run_id, run in self._runs.items():
            if run.status in TERMINAL:
                row = found["runs"][run_id]["row"]
                assert self._ended.setdefault(run_id, row) == row, "an ended run has changed"

    @property
    def _running(self) -> list[Run]:
        return [run for run in self._runs.values() if run.status == "running"]

    def _given(self, worker: str, claim: Claim) -> None:
        run = self._runs[claim["run_id"]]
        assert claim["token"] not in {each["token"] for each in self._leases}
        run.claimed(worker, claim["token"])
        assert (claim["epoch"], claim["last_seq"]) == (run.epoch, run.last_seq)
        assert {step["name"] for step in claim["steps"]} == run.steps
        self._leases.append(claim)

    def _end(self, run: Run, status: str, charge: int, *, token: str | None) -> None:
        run.ended(status, self._accounts[run.user].close(run.key, charge), token=token)

    def _lease(self, pick: int) -> Claim:
        return self._leases[-1 - pick % len(self._leases)]

    def _run(self, pick: int) -> Run:
        runs = list(self._runs.values())
        return runs[-1 - pick % len(runs)]

    def _live(self, claim: Claim) -> Run | None:
        """The run, if this claim still has authority over it."""
        run = self._runs[claim["run_id"]]
        return run if run.status == "running" and run.token == claim["token"] else None


def _facts(run: Run) -> list[object]:
    return [run.status, run.token, run.epoch, run.claims, run.attempts, run.last_seq, run.charged]
