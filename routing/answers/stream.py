"""A run's events: one message, the same on a stream, on a page and (by other names) on a socket."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from routing.answers.words import Count, OpenWire, Wire

__all__ = ["EventMessage", "EventsPage", "LightMessage"]


class EventMessage(OpenWire):
    """By `type`, besides these fields:

    | type | fields |
    | --- | --- |
    | `started` | `agentId` |
    | `chunk` | `content`, `step` |
    | `tool_call` | `step`, `name`, `arguments` |
    | `tool_result` | `step`, `name`, `ok`, `result` or `error` |
    | `progress` | `fraction` from 0 to 1, `note` |
    | `artifact` | `name`, `mediaType`, `size`, `url` |
    | `retry` | `step`, `attempt`, `discardAfter` |
    | `done` (the last) | `response`, `executionTime`, `creditsUsed`, `usage`, `output` |
    | `error` (the last) | `error`, `code`, `response`, `creditsUsed` |

    A kind of agent may add types of its own; pass over those you do not know.
    """

    type: str
    run_id: UUID
    seq: int = Field(ge=1, description="Without gaps from 1; what to resume after.")


class LightMessage(OpenWire):
    """An event of a light answer: `started`, `chunk`, `done` and `error`, as a run's without `runId`."""

    type: str
    seq: int = Field(ge=1, description="Without gaps from 1.")


class EventsPage(Wire):
    run_id: UUID
    events: list[EventMessage] = Field(max_length=200)
    latest: Count = Field(description="The number of the run's newest event.")
    is_terminal: bool = Field(description="Whether the run has ended and nothing comes after these events.")
