"""Holds of requests that may be released for their age, too, on the real database beside the model."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.properties.accounts import LifeOfAccounts

__all__ = ["LifeOfHolds"]


class LifeOfHolds(LifeOfAccounts):
    @precondition(lambda self: self._has_holds)
    @rule(limit=st.integers(1, 3))
    def expire_holds(self, limit: int) -> None:
        """As if all that are open had been forgotten."""
        opened = [
            (account, key)
            for account in self._accounts.values()
            for key, hold in account.holds.items()
            if hold.charged is None
        ]
        released = 0
        while released < len(opened):
            answer = self._do(self._sql.expire_holds(after_s=0, limit=limit))
            assert answer["released"] == min(limit, len(opened) - released)
            released += answer["released"]
        assert self._do(self._sql.expire_holds(after_s=0))["released"] == 0
        for account, key in opened:
            account.close(key, 0)

    @invariant()
    def the_accounts_are_as_the_model_says(self) -> None:
        for user, account in self._accounts.items():
            assert self._do(self._sql.money(user)) == (account.balance, account.held)
        assert self._do(self._sql.audit()) == []
