"""What an answer looks like, for the API's description; the values themselves are made in `routing.wire`.

Every model forbids other fields, so that a test can hold the description to the truth.
"""

from __future__ import annotations

from typing import Final

from routing.answers.account import Credits, Keys, MadeKey
from routing.answers.agents import AgentMetrics, Agents
from routing.answers.conversations import Conversation, ConversationHead
from routing.answers.problem import ProblemDocument, RunFailure
from routing.answers.runs import Accepted, ExecuteAnswer, Receipt, Run, RunsPage, RuntimeAnswer
from routing.answers.server import AgentHealth, Alive, KeySet, MetricsSummary, Ready, WholeHealth
from routing.answers.stream import EventMessage, EventsPage, LightMessage

__all__ = [
    "ANSWERS",
    "Accepted",
    "AgentHealth",
    "AgentMetrics",
    "Agents",
    "Alive",
    "Conversation",
    "ConversationHead",
    "Credits",
    "EventMessage",
    "EventsPage",
    "ExecuteAnswer",
    "KeySet",
    "Keys",
    "LightMessage",
    "MadeKey",
    "MetricsSummary",
    "ProblemDocument",
    "Ready",
    "Receipt",
    "Run",
    "RunFailure",
    "RunsPage",
    "RuntimeAnswer",
    "WholeHealth",
]

# What operations answer, beside problems and the events of a run.
ANSWERS: Final = (
    Accepted,
    AgentHealth,
    AgentMetrics,
    Agents,
    Alive,
    Conversation,
    ConversationHead,
    Credits,
    EventsPage,
    ExecuteAnswer,
    KeySet,
    Keys,
    LightMessage,
    MadeKey,
    MetricsSummary,
    Ready,
    Receipt,
    Run,
    RunsPage,
    RuntimeAnswer,
    WholeHealth,
)
