"""What a light agent asks its model: as a chat run would in its first turn, without tools. Pure.

What the agent's functions said stands right before the user's newest message.
"""

from __future__ import annotations

from collections.abc import Sequence

from foundation.errors import FieldError, InvalidBody
from heavy_agents.agents import Plan, allowed, fit, newest_of_the_user, opening
from heavy_agents.credits import Price
from heavy_agents.llm import Prompt, estimate_tokens
from heavy_agents.runs import AgentFailed, Budget, CreditExhausted, Message

__all__ = ["prompt_of"]

TOO_DEAR = "are longer than what an answer of this agent may cost; send less at once"


def prompt_of(
    plan: Plan, messages: Sequence[Message], *, notes: Sequence[str], price: Price | None, limit_tokens: int
) -> Prompt:
    """
    Args:
        price: what tokens may cost; None where nobody charges.
        limit_tokens: the operator's, in and out.

    Raises:
        InvalidBody: the conversation is too long for the agent, its price or the operator's limit.
    """
    told = [{"role": "system", "content": note} for note in notes]
    thread = opening(plan, messages)
    try:
        room = plan.room_tokens - estimate_tokens(told)
        kept = fit(thread, newest=newest_of_the_user(thread), limit_tokens=room)
        place = newest_of_the_user(kept)
        prompt = Prompt(
            model=plan.model,
            messages=[*kept[:place], *told, *kept[place:]],
            temperature=plan.temperature,
            max_tokens=plan.max_tokens,
            response_format=plan.response_format,
        )
        return allowed(prompt, _budget(price), limit_tokens=limit_tokens)
    except CreditExhausted:
        raise InvalidBody([FieldError("messages", TOO_DEAR)]) from None
    except AgentFailed as failed:
        raise InvalidBody([FieldError("messages", failed.message)]) from None


def _budget(price: Price | None) -> Budget:
    if price is None or not price.per_1k_tokens:
        return Budget(None, None)
    left = price.ceiling - price.flat
    return Budget(left, left * 1000 // price.per_1k_tokens)
