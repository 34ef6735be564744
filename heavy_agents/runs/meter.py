"""What a run and each of its steps has used, and what that costs so far."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, replace

from foundation.clock import Clock
from heavy_agents.credits import Blame, Price, Usage, charge, cost

__all__ = ["Budget", "Meter", "StepUsage"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may still use before its hold is reached.

    `credits` None: nothing is held here. `tokens` None: they cost nothing.
    """

    credits: int | None
    tokens: int | None


class StepUsage:
    """What one step has used; parallel steps each have their own."""

    def __init__(self) -> None:
        self.usage = Usage()


class Meter:
    def __init__(
        self, price: Price, *, is_held: bool, journaled: Usage, executed_ms: int, clock: Clock
    ) -> None:
        """
        Args:
            is_held: whether credits are held for the run; if not, nothing ends it.
            journaled, executed_ms: by earlier claims of the run.
        """
        self._price = price
        self._is_held = is_held
        self._journaled = journaled
        self._used = journaled
        self._clock = clock
        self._began_s = clock.monotonic() - executed_ms / 1000
        self._step: ContextVar[StepUsage | None] = ContextVar("step_usage", default=None)

    @property
    def usage(self) -> Usage:
        return self._used

    @property
    def elapsed_ms(self) -> int:
        """Milliseconds of execution; waiting in the queue is not in it."""
        return round((self._clock.monotonic() - self._began_s) * 1000)

    @property
    def is_exhausted(self) -> bool:
        """Whether what was used costs more than what is held."""
        used = cost(self._price, self._used, elapsed_ms=self.elapsed_ms)
        return self._is_held and used > self._price.ceiling

    @property
    def budget(self) -> Budget:
        price, used = self._price, self._used
        if not self._is_held:
            return Budget(None, None)
        left = price.ceiling - cost(price, used, elapsed_ms=self.elapsed_ms)
        if not price.per_1k_tokens:
            return Budget(max(left, 0), None)
        for_tokens = price.ceiling - cost(replace(price, per_1k_tokens=0), used, elapsed_ms=self.elapsed_ms)
        tokens = for_tokens * 1000 // price.per_1k_tokens - used.tokens
        return Budget(max(left, 0), max(tokens, 0))

    def open_step(self) -> StepUsage:
        """Count what this task and its children use from now on towards a step of its own."""
        step = StepUsage()
        self._step.set(step)
        return step

    def spend(self, usage: Usage) -> None:
        self._used += usage
        if (step := self._step.get()) is not None:
            step.usage += usage

    def journal(self, usage: Usage) -> int:
        """Take a finished step's usage as journaled.

        Returns whole credits due if the user cancelled and this process were lost now: what steps under way
        have bought is then the platform's loss.
        """
        self._journaled += usage
        return charge(Blame.USER, self._price, self._journaled, elapsed_ms=self.elapsed_ms)

    def charge(self, blame: Blame) -> int:
        """Whole credits due if the run ended now."""
        return charge(blame, self._price, self._used, elapsed_ms=self.elapsed_ms)
