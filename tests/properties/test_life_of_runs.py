"""Whatever happens in whatever order: the invariants of runs and money hold; without a guard they do not."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from foundation.errors import InternalError
from tests.properties.machine import LifeOfRuns
from tests.properties.patched import patched
from tests.properties.talk import Talk

# The same examples every time, none shrunk: what counts is that one is found.
HUNT = settings(
    settings.get_profile("floor"),
    derandomize=True,
    max_examples=1_000,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)

CLOSED_ONCE = (
    "switchyard.hold_close",
    "if found then\n    return -v_closed.amount;",
    "if false then\n    return 0;",
)

# function, what guards it, what it would be without
GUARDS = {
    "finish asks for the token": (
        "public.switchyard_runs_finish",
        "where id = p_run_id and lease_token = p_token for",
        "where id = p_run_id for",
    ),
    "append asks for the token": (
        "public.switchyard_events_append",
        "r.id = a.run_id and r.lease_token = a.token and",
        "r.id = a.run_id and",
    ),
    "release asks for the token": (
        "public.switchyard_runs_release",
        "status = 'running' and lease_token = p_token",
        "status = 'running'",
    ),
    "a hold asks what is available": ("switchyard.hold_open", "v_available < p_credits", "false"),
    "a charge is bounded by its hold": (
        "switchyard.hold_close",
        "least(coalesce(p_charge, 0), v_hold.held,",
        "least(coalesce(p_charge, 0),",
    ),
    "terminal is terminal": (
        "public.switchyard_runs_cancel",
        "if switchyard.is_terminal(r.status)",
        "if r.status = 'succeeded'",
    ),
}


def test_the_invariants_hold_whatever_happens(fresh: Talk) -> None:
    run_state_machine_as_test(_on(fresh), settings=settings())


@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_an_invariant_breaks(fresh: Talk, guard: str) -> None:
    function, code, without = GUARDS[guard]
    fresh.do(patched(fresh.sql.connection, function, code, without))

    with pytest.raises(AssertionError):
        run_state_machine_as_test(_on(fresh), settings=HUNT)


def test_without_the_ledgers_unique_indexes_a_hold_may_be_closed_twice(fresh: Talk) -> None:
    fresh.do(patched(fresh.sql.connection, *CLOSED_ONCE))
    fresh.do(
        fresh.sql.connection.execute(
            "drop index switchyard.ledger_hold_closed_once, switchyard.ledger_key_once"
        )
    )

    with pytest.raises(AssertionError):
        run_state_machine_as_test(_on(fresh), settings=HUNT)


def test_with_the_ledgers_unique_indexes_even_wrong_code_closes_a_hold_once(fresh: Talk) -> None:
    fresh.do(patched(fresh.sql.connection, *CLOSED_ONCE))
    user = fresh.do(fresh.sql.user(balance=10))
    fresh.do(fresh.sql.hold(user, 4, "k"))
    fresh.do(fresh.sql.settle(user, "k", 3))

    with pytest.raises(InternalError):
        fresh.do(fresh.sql.unhold(user, "k"))

    assert fresh.do(fresh.sql.money(user)) == (7, 0)
    assert fresh.do(fresh.sql.audit()) == []


def _on(talk: Talk) -> type[LifeOfRuns]:
    class Life(LifeOfRuns):
        def __init__(self) -> None:
            super().__init__(talk)

    return Life
