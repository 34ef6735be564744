"""What must be true of accounts and runs, told without a database: a page of plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

__all__ = ["TERMINAL", "Account", "Run"]

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
MAX_ATTEMPTS = 3
MAX_CLAIMS = 20


@dataclass
class Hold:
    """`charged` is None while it is open. `is_gone`: its account was closed meanwhile."""

    amount: int
    charged: int | None = None
    is_gone: bool = False


@dataclass
class Account:
    balance: int
    held: int = 0
    holds: dict[str, Hold] = field(default_factory=dict)
    charges: dict[str, int] = field(default_factory=dict)

    @property
    def available(self) -> int:
        return max(self.balance - self.held, 0)

    def open(self, key: str, amount: int) -> None:
        assert amount <= self.available
        self.held += amount
        self.holds[key] = Hold(amount)

    def close(self, key: str, charge: int) -> int:
        """What the hold was charged: now, or when it was closed first."""
        if (hold := self.holds.get(key)) is None:
            return 0
        if hold.charged is None:
            hold.charged = 0 if hold.is_gone else max(min(charge, hold.amount, self.balance), 0)
            self.held -= 0 if hold.is_gone else hold.amount
            self.balance -= hold.charged
        return hold.charged

    def reopen(self, balance: int) -> None:
        """The account is deleted and made again."""
        self.balance, self.held = balance, 0
        for hold in self.holds.values():
            hold.is_gone = True


@dataclass
class Run:
    id: UUID
    user: UUID
    hold: int
    status: str = "queued"
    token: str | None = None
    worker: str | None = None
    epoch: int = 0
    claims: int = 0
    attempts: int = 0
    last_seq: int = 1
    accrued: int = 0
    charged: int | None = None
    steps: set[str] = field(default_factory=set)
    is_cancel_asked: bool = False
    is_expired: bool = False

    @property
    def key(self) -> str:
        return f"run:{self.id}"

    @property
    def is_suspect(self) -> bool:
        """The next loss would end it, so it is claimed with nothing beside it."""
        return self.attempts >= MAX_ATTEMPTS - 1

    @property
    def losses(self) -> int:
        """Workers it has lost since its last step."""
        return self.attempts - (self.status == "running") if self.attempts else 0

    def claimed(self, worker: str, token: str) -> None:
        assert self.status == "queued"
        self.status, self.worker, self.token, self.is_expired = "running", worker, token, False
        self.epoch += 1
        self.claims += 1
        self.attempts += 1

    def journaled(self, step: str, accrued: int) -> None:
        if step not in self.steps:
            self.steps.add(step)
            self.attempts, self.accrued = 0, max(self.accrued, accrued)

    def queued(self) -> None:
        self.status, self.worker, self.token = "queued", None, None

    def released(self) -> None:
        self.queued()
        self.claims = max(self.claims - 1, 0)
        self.attempts = max(self.attempts - 1, 0)

    def ended(self, status: str, charged: int, *, token: str | None) -> None:
        assert self.status not in TERMINAL
        self.status, self.charged, self.token = status, charged, token
        self.last_seq += 1

    def reaping(self) -> str:
        """What becomes of it when its lease has expired."""
        if self.is_cancel_asked:
            return "cancelled"
        if self.attempts >= MAX_ATTEMPTS or self.claims >= MAX_CLAIMS:
            return "poison"
        return "requeued"
