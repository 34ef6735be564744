"""Which agent is run for the check, and what it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from scripts.verify.deployment import Deployment, Failed
from scripts.verify.web import Document

__all__ = ["Order", "order_for"]

QUESTION = "Answer with one short sentence: does this deployment work?"
DAYS = 60
RANK = {"chat": 0, "forecast": 1}


@dataclass(frozen=True)
class Order:
    """`price` is for people; `body` is that of execute."""

    name: str
    price: str
    body: Document


def order_for(deployment: Deployment) -> Order:
    """
    Raises:
        Failed: the caller may run no agent, or not the one that was named.
    """
    agents = deployment.ask("/api/agents", is_known=True).document().get("agents", [])
    agent = _chosen(agents, deployment.agent)
    body: Document = {"agentId": agent["id"], "messages": [{"role": "user", "content": QUESTION}]}
    if deployment.agent_input is not None:
        body["input"] = deployment.agent_input
    elif agent.get("kind") == "forecast":
        body["input"] = {"horizon": 7, "series": series()}
    return Order(f"“{agent.get('name')}” ({agent.get('kind')})", _price(agent.get("price", {})), body)


def series() -> list[Document]:
    """A trend with weeks in it."""
    begin = date(2026, 1, 1)
    days = ((number, begin + timedelta(days=number)) for number in range(DAYS))
    return [{"date": day.isoformat(), "value": 20 + 0.1 * number + day.weekday()} for number, day in days]


def _chosen(agents: Sequence[Document], wanted: str | None) -> Document:
    """The one that was named; else one that asks the model, as most of an app's do; else any."""
    if wanted is not None:
        found = [each for each in agents if wanted in (each.get("id"), each.get("name"))]
        if not found:
            raise Failed(f"no agent {wanted!r} among the {len(agents)} that this caller may run")
        return found[0]
    if not agents:
        raise Failed("this caller may run no agent; publish one, or name one with --agent")
    return min(agents, key=_rank)


def _rank(agent: Document) -> tuple[bool, int]:
    return not agent.get("isHeavy"), RANK.get(str(agent.get("kind")), len(RANK))


def _price(price: Document) -> str:
    if "ceiling" in price:
        return f"at most {price['ceiling']} credits"
    flat = price.get("flat", 1)
    return "1 credit" if flat == 1 else f"{flat} credits"
