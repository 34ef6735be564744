"""Runs that another backend executes: sent there, relayed as they go on, ended with ours, paid here."""

from __future__ import annotations

from heavy_agents.agents.remote.forwarding import Forwarding

__all__ = ["Forwarding"]
