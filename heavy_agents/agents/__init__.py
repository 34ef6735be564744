"""The kinds of agent a run can be of."""

from __future__ import annotations

from foundation.telemetry import Metrics
from heavy_agents.agents.forecast import ForecastAgent
from heavy_agents.runs import Agent

__all__ = ["ForecastAgent", "agents"]


def agents(metrics: Metrics) -> dict[str, Agent]:
    """Every kind this release can execute, by its name."""
    return {ForecastAgent.kind: ForecastAgent(metrics)}
