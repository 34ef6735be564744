"""Everything that may happen to accounts, in any order, on the real database beside the model."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from foundation.errors import HeavyError, InsufficientCredits, KeyConflict
from tests.properties.model import Account
from tests.properties.talk import Talk

__all__ = ["KEYS", "USERS", "LifeOfAccounts"]

T = TypeVar("T")

USERS = st.integers(0, 2)
KEYS = st.sampled_from(["a", "b"])
AMOUNTS = st.integers(1, 4)
BALANCES = st.integers(0, 12)


class LifeOfAccounts(RuleBasedStateMachine):
    def __init__(self, talk: Talk) -> None:
        super().__init__()
        self._do = talk.do
        self._sql = talk.sql
        self._users: list[UUID] = []
        self._accounts: dict[UUID, Account] = {}

    @initialize(balances=st.tuples(BALANCES, BALANCES, BALANCES))
    def begin(self, balances: tuple[int, int, int]) -> None:
        self._do(self._sql.wipe())
        for balance in balances:
            user = self._do(self._sql.user(balance=balance))
            self._users.append(user)
            self._accounts[user] = Account(balance)

    @rule(who=USERS, balance=BALANCES)
    def write_balance(self, who: int, balance: int) -> None:
        self._do(self._sql.write_balance(self._users[who], balance))
        self._accounts[self._users[who]].balance = balance

    @rule(who=USERS, balance=BALANCES)
    def reopen_account(self, who: int, balance: int) -> None:
        self._do(self._sql.close_account(self._users[who]))
        self._do(self._sql.open_account(self._users[who], balance=balance))
        self._accounts[self._users[who]].reopen(balance)

    @rule(who=USERS, amount=AMOUNTS, key=st.none() | KEYS)
    def deduct(self, who: int, amount: int, key: str | None) -> None:
        account, call = self._accounts[self._users[who]], self._sql.deduct(self._users[who], amount, key=key)
        before = account.charges.get(key) if key else None
        if before not in {None, amount}:
            return self._refused(call, KeyConflict)
        if before is None and amount > account.available:
            return self._refused(call, InsufficientCredits)
        assert self._do(call)["charged"] == amount
        if before is None:
            account.balance -= amount
        if key:
            account.charges[key] = amount
        return None

    @rule(who=USERS, amount=AMOUNTS, key=KEYS)
    def hold(self, who: int, amount: int, key: str) -> None:
        account, call = self._accounts[self._users[who]], self._sql.hold(self._users[who], amount, key)
        before = account.holds.get(key)
        if before and before.amount != amount:
            return self._refused(call, KeyConflict)
        if before is None and amount > account.available:
            return self._refused(call, InsufficientCredits)
        answer = self._do(call)
        assert answer["is_new"] is (before is None)
        assert answer["charged"] == (None if before is None else before.charged)
        if before is None:
            account.open(key, amount)
        return None

    @precondition(lambda self: self._has_holds)
    @rule(who=USERS, key=KEYS, amount=st.integers(0, 6))
    def settle(self, who: int, key: str, amount: int) -> None:
        charged = self._accounts[self._users[who]].close(key, amount)
        assert self._do(self._sql.settle(self._users[who], key, amount))["charged"] == charged

    @precondition(lambda self: self._has_holds)
    @rule(who=USERS, key=KEYS)
    def unhold(self, who: int, key: str) -> None:
        charged = self._accounts[self._users[who]].close(key, 0)
        assert self._do(self._sql.unhold(self._users[who], key))["charged"] == charged

    @property
    def _has_holds(self) -> bool:
        return any(account.holds for account in self._accounts.values())

    # Any: what a coroutine is sent and yields is the loop's business.
    def _refused(self, call: Coroutine[Any, Any, T], refusal: type[HeavyError]) -> None:
        try:
            answer = self._do(call)
        except refusal:
            return
        raise AssertionError(f"expected {refusal.__name__}, got {answer}")
