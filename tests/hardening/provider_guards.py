"""The guards against a failing provider, each with a patch that takes it away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.hardening.fault import Mutation
from tests.support.provider_cases import KINDS

__all__ = [
    "MUTATIONS",
    "absurd_is_believed",
    "all_is_an_answer",
    "asks_after_text",
    "asks_once_more",
    "floods",
    "the_fault_costs",
]

# Some of every group show what most of them guard.
FEW = 20


def asks_once_more() -> None:
    """Mutation: a turn may be retried three times."""
    from heavy_agents.llm import asking

    asking.MAX_RETRIES = 3  # type: ignore[misc]


def floods() -> None:
    """Mutation: a process may retry as often as it likes."""
    from heavy_agents.llm.budget import RetryBudget

    RetryBudget.take = lambda self: self is not None  # type: ignore[method-assign]
    RetryBudget.retries = 10  # type: ignore[assignment,method-assign]


def absurd_is_believed() -> None:
    """Mutation: whatever a provider counts is charged."""
    from heavy_agents.llm import accumulate

    def told(usage: object) -> tuple[int, int] | None:
        return (usage["prompt_tokens"], usage["completion_tokens"]) if isinstance(usage, dict) else None

    accumulate._told = told


def all_is_an_answer() -> None:
    """Mutation: whatever has come, garbage and cut ends too, is taken for a whole answer."""
    from heavy_agents.llm.accumulate import Accumulator

    Accumulator.is_complete = True  # type: ignore[assignment,method-assign]


def asks_after_text() -> None:
    """Mutation: an answer that broke off after its first words is asked for again."""
    from heavy_agents.llm.attempt import Attempt

    def again(judge: Callable[..., Any]) -> Callable[..., Any]:  # Any: passed on
        return lambda *given: replace(judge(*given), may_retry=True)

    Attempt._broken = again(Attempt._broken)  # type: ignore[method-assign]
    Attempt._late = again(Attempt._late)  # type: ignore[method-assign]


def the_fault_costs() -> None:
    """Mutation: a run that its provider has failed is charged what was used."""
    from heavy_agents.credits import Blame
    from heavy_agents.runs.meter import Meter

    charge = Meter.charge

    def always(meter: Meter, blame: Blame) -> int:
        del blame
        return charge(meter, Blame.NOBODY)

    Meter.charge = always  # type: ignore[assignment,method-assign]


def _mutation(patch: Callable[[], None], *, removes: str, n: int = FEW) -> Mutation:
    name = patch.__name__
    return Mutation(name.replace("_", "-"), removes=removes, patch=f"{__name__}:{name}", n=n)


MUTATIONS = (
    _mutation(asks_once_more, removes="the limit of a turn's retries"),
    _mutation(floods, removes="the limit of a process's retries"),
    _mutation(absurd_is_believed, removes="the look whether a usage can be true", n=KINDS),
    _mutation(all_is_an_answer, removes="that an answer without its end is none"),
    _mutation(asks_after_text, removes="that nothing is tried again once text was shown"),
    _mutation(the_fault_costs, removes="that what the platform has failed costs nothing"),
)
