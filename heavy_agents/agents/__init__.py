"""The kinds of agent a run can be of, and what their authors work with."""

from __future__ import annotations

from foundation.telemetry import Metrics
from heavy_agents.agents.chat import ChatAgent
from heavy_agents.agents.context import Context
from heavy_agents.agents.equip import Equipment, Kind, equip
from heavy_agents.agents.forecast import ForecastAgent
from heavy_agents.agents.remote import Forwarding

__all__ = ["ChatAgent", "Context", "Equipment", "ForecastAgent", "Forwarding", "Kind", "equip", "kinds"]


def kinds(equipment: Equipment, *, metrics: Metrics, default_model: str) -> list[Kind]:
    """Every kind this release can execute."""
    return [ChatAgent(equipment.model, default_model=default_model), ForecastAgent(metrics)]
