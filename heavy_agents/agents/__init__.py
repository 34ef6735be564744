"""The kinds of agent a run can be of, and what their authors work with."""

from __future__ import annotations

from foundation.telemetry import Metrics
from heavy_agents.agents.allowance import allowed
from heavy_agents.agents.chat import ChatAgent
from heavy_agents.agents.chat_fit import fit, newest_of_the_user
from heavy_agents.agents.chat_plan import Plan, read_plan
from heavy_agents.agents.chat_thread import opening
from heavy_agents.agents.context import Context
from heavy_agents.agents.equip import Equipment, Kind, equip
from heavy_agents.agents.forecast import ForecastAgent
from heavy_agents.agents.remote import Forwarding

__all__ = [
    "ChatAgent",
    "Context",
    "Equipment",
    "ForecastAgent",
    "Forwarding",
    "Kind",
    "Plan",
    "allowed",
    "equip",
    "fit",
    "kinds",
    "newest_of_the_user",
    "opening",
    "read_plan",
]


def kinds(equipment: Equipment, *, metrics: Metrics, default_model: str) -> list[Kind]:
    """Every kind this release can execute."""
    return [ChatAgent(equipment.model, default_model=default_model), ForecastAgent(metrics)]
