"""Which runs go to another backend, and what that is sent of them. Pure.

The route that takes them there wants a chat agent without tools, in its own bounds. What it could not do as
its owner has written it is refused before anything is held, rather than done otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from foundation.errors import FieldError, InvalidBody, Json, NotConfigured
from foundation.origins import read_origin
from heavy_agents.agents.chat_plan import Plan, read_plan
from heavy_agents.runs import AgentSnapshot, Message, RunRequest

__all__ = ["body_of", "check", "target_of"]

MAX_NAME_CHARS: Final = 200
MAX_TEMPERATURE: Final = 1
TOKENS: Final = range(100, 4001)
# Of a configuration, what is kept here; the rest would have to be kept there.
KEPT_HERE: Final = frozenset({"deadline_s", "max_turns"})


def target_of(agent: AgentSnapshot, allowed: Collection[str]) -> str | None:
    """The origin its runs are forwarded to; None if they are executed here.

    Args:
        allowed: origins as they are always spelt. What the agent's owner has written is only compared.
    """
    own = read_origin(agent.railway_url or "")
    return own if own in allowed else None


def check(request: RunRequest) -> None:
    """
    Raises:
        InvalidBody: nothing is asked.
        NotConfigured: the agent's row wants what its backend cannot do, or is wrong.
    """
    agent = request.agent
    if agent.kind != "chat":
        raise NotConfigured(f"the agent's own backend takes chat agents, and it is of kind {agent.kind!r}")
    if agent.stored.get("tools"):
        raise NotConfigured("the agent's own backend takes no tools; remove them, or its railway_url")
    if beyond := sorted(agent.config.keys() - KEPT_HERE):
        raise NotConfigured(f"the agent's own backend does not take {beyond[0][:40]!r} of its config")
    _check_plan(read_plan(agent, default_model=""))
    if not any(each.role == "user" and each.content.strip() for each in request.messages):
        raise InvalidBody([FieldError("messages", "wants at least one of role user with a text")])


def body_of(agent: AgentSnapshot, messages: Sequence[Message], *, user_id: UUID) -> dict[str, Json]:
    """The body of `execute-validated`; what the row leaves open the other backend decides."""
    plan = read_plan(agent, default_model="")
    config: dict[str, Json] = {
        "name": agent.name[:MAX_NAME_CHARS] or "agent",
        "system_prompt": plan.system_prompt or None,
        "ai_model": plan.model or None,
        "temperature": plan.temperature,
        "max_tokens": plan.max_tokens,
        "knowledge_base": [{"title": each.title, "content": each.content} for each in plan.knowledge],
    }
    return {
        "userId": str(user_id),
        "agentId": str(agent.id),
        "agentConfig": {name: value for name, value in config.items() if value is not None},
        "messages": [{"role": each.role, "content": each.content} for each in messages],
        "stream": True,
    }


def _check_plan(plan: Plan) -> None:
    if plan.temperature is not None and plan.temperature > MAX_TEMPERATURE:
        raise NotConfigured(f"the agent's own backend takes a temperature of 0 to {MAX_TEMPERATURE}")
    if plan.max_tokens is not None and plan.max_tokens not in TOKENS:
        raise NotConfigured(f"the agent's own backend takes max_tokens of {TOKENS[0]} to {TOKENS[-1]}")
    if len(plan.model) > MAX_NAME_CHARS:
        raise NotConfigured(f"the agent's own backend takes an ai_model of {MAX_NAME_CHARS} characters")
