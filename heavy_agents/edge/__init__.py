"""What an edge function does, done here: look, answer light agents at once, charge callers for their runs.

    look ──► heavy ──► a run like any other              (`Charged`: held and settled before, if callers pay)
      │
      └────► light ──► hold ──► functions ──► model ──► settle ──► the answer
                        │                       │
                        └── the key was used    └── it failed: release

A light answer is no run: nothing of it is stored, and it cannot be resumed. It goes on when its client leaves
and has a limit of five minutes; when its process drains it comes to its end, or is released. What a process
leaves held that dies is released by `Expiry` a quarter of an hour later.
"""

from __future__ import annotations

from heavy_agents.edge.answer import LightAnswer
from heavy_agents.edge.answering import Question
from heavy_agents.edge.answers import LightAnswers
from heavy_agents.edge.edge import Edge
from heavy_agents.edge.expiry import Expiry
from heavy_agents.edge.look import Look, Looks, RoutedAgent

__all__ = ["Edge", "Expiry", "LightAnswer", "LightAnswers", "Look", "Looks", "Question", "RoutedAgent"]
