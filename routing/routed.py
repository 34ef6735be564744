"""Where a request goes, decided here: one look at the database, the plan limit of what stays, and the table.

A run is counted against the plan when it is submitted, so only what is not going to be one is counted here;
and nothing is, when credits refuse it already.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from uuid import UUID

import structlog

from foundation.errors import DatabaseUnavailable, RateLimited
from foundation.settings import CreditsOwner, Settings
from heavy_agents.edge import Look, Looks, RoutedAgent
from heavy_agents.runs import Order
from routing.decision import (
    Decider,
    Edge,
    FoundAgent,
    Heavy,
    LimitReached,
    PlanLimit,
    Question,
    Refuse,
    Remote,
    Why,
    decide,
)
from routing.rooms import Rooms

__all__ = ["route"]

log = structlog.get_logger(__name__)

OF_CREDITS: Final = frozenset({Why.CREDITS_UNKNOWN, Why.CREDITS_SHORT})


async def route(rooms: Rooms, order: Order) -> tuple[Edge | Heavy | Remote, RoutedAgent]:
    """
    Raises:
        InsufficientCredits, RateLimited, AgentNotFound, NotConfigured, DatabaseUnavailable: in this order.
    """
    look = await rooms.edge.looks.look(order.user_id, order.agent_id)
    question = _question(look, rooms.settings, may_join=order.idempotency_key is not None)
    decision = decide(question)
    is_short = isinstance(decision, Refuse) and decision.why in OF_CREDITS
    if not is_short and (look.agent is None or not look.agent.is_heavy):
        decision = decide(replace(question, limit=await _limit(rooms.edge.looks, order.user_id)))
    if isinstance(decision, Refuse) or look.agent is None:
        assert isinstance(decision, Refuse)  # noqa: S101 - an agent that is not there is refused
        raise decision.error
    log.debug("request_routed", why=decision.why)
    return decision, look.agent


def _question(look: Look, settings: Settings, *, may_join: bool) -> Question:
    """
    Args:
        may_join: a run of the request's key may be there already, and be what the last credits were for. Then
            who charges for it says whether there are enough.
    """
    agent = look.agent
    is_free = settings.credits_owner is CreditsOwner.OFF or (
        agent is not None and (agent.snapshot.price.ceiling < 1 or (agent.is_heavy and may_join))
    )
    return Question(
        decider=Decider.BACKEND,
        available_credits=look.available,
        limit="within",
        agent=None if agent is None else _found(agent),
        allowed_backends=settings.allowed_backends,
        needed_credits=0 if is_free else 1,
    )


def _found(agent: RoutedAgent) -> FoundAgent:
    return FoundAgent(
        is_published=agent.is_published,
        is_owned=agent.is_owned,
        is_heavy=agent.is_heavy,
        railway_url=agent.railway_url,
    )


async def _limit(looks: Looks, user_id: UUID) -> PlanLimit:
    try:
        await looks.take(user_id)
    except RateLimited as reached:
        return LimitReached(reached.retry_after_s, reached.policy, reached.quota or 0)
    except DatabaseUnavailable:
        return "unknown"
    return "within"
