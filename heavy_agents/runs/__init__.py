"""A run's life: submit, claim, execute, journal, hand over, recover, cancel.

            submit                claim                 finish
 (nothing) ───────► queued ─────────────────► running ─────────► succeeded | failed | cancelled
                    │  ▲   ◄── release ──────────┘
                    │  └────── lease expired ────┘
                    └───► cancelled (asked while queued) · failed (queue deadline, poison)

Each arrow is one SQL function and one transaction; every write of an execution carries its lease's token
and does nothing when that is stale. After a crash nothing accepted is lost: the lease expires, the reaper
puts the run back, another claim reads the journal and goes on. What is not promised: a step that was under
way is done again, and what it had bought outside is bought again at the platform's cost.
"""

from heavy_agents.credits import Usage
from heavy_agents.runs.agent import Agent
from heavy_agents.runs.answer import AgentFailed, Answer, CreditExhausted
from heavy_agents.runs.backlog import Backlog
from heavy_agents.runs.context import OUR_STEP, Compute, Context
from heavy_agents.runs.engine import Engine
from heavy_agents.runs.execution import Floor
from heavy_agents.runs.hearing import Hearing
from heavy_agents.runs.heart import BEATS_AT_ONCE
from heavy_agents.runs.meter import Budget
from heavy_agents.runs.presence import Announcement, Capacity, Presence
from heavy_agents.runs.readiness import MIGRATE, PUSH, SCHEMA_VERSION, DatabaseCheck
from heavy_agents.runs.request import AgentSnapshot, Message, RunRequest, Sender
from heavy_agents.runs.runs import Artifact, Runs
from heavy_agents.runs.submit import Order, Submission, Submitter
from heavy_agents.runs.sweeper import Sweeper

__all__ = [
    "BEATS_AT_ONCE",
    "MIGRATE",
    "OUR_STEP",
    "PUSH",
    "SCHEMA_VERSION",
    "Agent",
    "AgentFailed",
    "AgentSnapshot",
    "Announcement",
    "Answer",
    "Artifact",
    "Backlog",
    "Budget",
    "Capacity",
    "Compute",
    "Context",
    "CreditExhausted",
    "DatabaseCheck",
    "Engine",
    "Floor",
    "Hearing",
    "Message",
    "Order",
    "Presence",
    "RunRequest",
    "Runs",
    "Sender",
    "Submission",
    "Submitter",
    "Sweeper",
    "Usage",
]
