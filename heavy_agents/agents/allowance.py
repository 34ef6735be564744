"""How much a model may answer, so that a run stays within its hold and the operator's limit. Pure.

What is asked is estimated by the rule of `llm`; what is left after it bounds the answer.
"""

from __future__ import annotations

from dataclasses import replace

from heavy_agents.llm import Prompt, Turn, estimate_tokens
from heavy_agents.runs import AgentFailed, Budget, CreditExhausted

__all__ = ["MOST_BY_DEFAULT", "allowed", "is_cut_by_budget"]

# What an answer may have when the agent does not say and tokens are paid for: models give at least as much.
MOST_BY_DEFAULT = 16_384


def allowed(prompt: Prompt, budget: Budget, *, limit_tokens: int) -> Prompt:
    """`prompt` with a `max_tokens` that can be afforded.

    Args:
        limit_tokens: what the operator's limit leaves this run.

    Raises:
        CreditExhausted: what is held does not even pay for the question.
        AgentFailed: the operator's limit is reached.
    """
    asked = estimate_tokens(prompt.messages, tools=prompt.tools)
    if budget.tokens is not None and budget.tokens <= asked:
        raise CreditExhausted
    if limit_tokens <= asked:
        raise AgentFailed("the run's limit of tokens is used up; ask for less, or begin another run")
    left = limit_tokens - asked if budget.tokens is None else min(budget.tokens, limit_tokens) - asked
    if prompt.max_tokens is None and budget.tokens is None and left > MOST_BY_DEFAULT:
        return prompt
    return replace(prompt, max_tokens=min(prompt.max_tokens or MOST_BY_DEFAULT, left))


def is_cut_by_budget(turn: Turn, *, wanted: Prompt, allowed: Prompt, budget: Budget) -> bool:
    """Whether the answer would have gone on if more credits were held; `budget` as it was before."""
    had = allowed.max_tokens or 0
    return (
        turn.finish == "length" and budget.tokens is not None and had < (wanted.max_tokens or MOST_BY_DEFAULT)
    )
