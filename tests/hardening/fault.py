"""What a fault is: its promise, how it is performed, which guards stand against it, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, field
from statistics import quantiles
from typing import TYPE_CHECKING

from foundation.errors import Json
from tests.support.audit import COMPLETE

if TYPE_CHECKING:
    from tests.hardening.ground import Ground

__all__ = ["Fault", "Findings", "Mutation", "rewritten"]

# Enough to see what is wrong; a thousand times the same sentence tells no more.
MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Mutation:
    """One guard taken away.

    Attributes:
        removes: which guard, in a few words.
        sql: run in the migrated database before anything starts.
        patch: `module:function`, called in every server process before it serves.
        n: enough for the run to turn red; the fault's small N if 0.
    """

    name: str
    removes: str
    sql: str = ""
    patch: str = ""
    n: int = 0


@dataclass(slots=True)
class Findings:
    """What one performance of a fault has come to."""

    hits: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    figures: dict[str, Json] = field(default_factory=dict)

    def hit(self, times: int = 1) -> None:
        """It has gone wrong, as it should."""
        self.hits += times

    def violated(self, sentence: str) -> None:
        """Something is true that must never be. The same sentence counts, and is shown once."""
        self.violations[sentence] += 1

    def expect(self, holds: bool, sentence: str) -> None:
        """`sentence` says what is wrong unless it `holds`."""
        if not holds:
            self.violated(sentence)

    def figure(self, name: str, value: Json) -> None:
        """The unit is in the name."""
        self.figures[name] = value

    def spread(self, name: str, values_s: Sequence[float]) -> None:
        """p50, p99 and the most of some times in seconds."""
        if not values_s:
            return
        cuts = quantiles(values_s, n=100, method="inclusive") if len(values_s) > 1 else [*values_s] * 99
        for part, value in (("p50", cuts[49]), ("p99", cuts[98]), ("max", max(values_s))):
            self.figure(f"{name}_{part}_s", round(value, 3))

    def in_time(self, name: str, **limits_s: float) -> None:
        """A promise about a spread that was told, as `p99=8.0`. For a full N: a few times prove nothing."""
        for part, limit_s in limits_s.items():
            took_s = self.figures.get(f"{name}_{part}_s")
            assert isinstance(took_s, float)
            self.expect(took_s <= limit_s, f"{name}: {part} is over {limit_s} s")

    @property
    def is_green(self) -> bool:
        """Nothing is wrong, and something could have been."""
        return self.hits > 0 and not self.violations

    def told(self) -> list[Json]:
        shown = self.violations.most_common(MOST_SHOWN)
        return [sentence if times == 1 else f"{sentence} ({times} times)" for sentence, times in shown]


@dataclass(frozen=True, slots=True)
class Fault:
    """
    Attributes:
        promise: what must hold, as `docs/reliability.md` says it.
        small_n: for the ordinary tests; a few seconds.
        has_own_server: whether it gets a Postgres that nobody else uses, and may restart it.
        needs_audit: False where there is no database of ours to look into.
        endings: how a journaled call may have ended as the model server saw it.
    """

    name: str
    promise: str
    full_n: int
    small_n: int
    perform: Callable[[Ground, Findings], Awaitable[None]]
    mutations: tuple[Mutation, ...]
    needs_audit: bool = True
    endings: Set[str] = COMPLETE
    has_own_server: bool = False


def rewritten(function: str, before: str, after: str) -> str:
    """SQL that puts `after` for `before` in a function's text; it fails where there is nothing to put it for.

    Args:
        function: with its schema, and without arguments where there is one of the name.
    """
    return f"""
        do $rewrite$
        declare
          v_text text := pg_get_functiondef('{function}'::regproc);
        begin
          if position($part${before}$part$ in v_text) = 0 then
            raise exception 'nothing to rewrite in %', '{function}';
          end if;
          execute replace(v_text, $part${before}$part$, $part${after}$part$);
        end
        $rewrite$;
    """
