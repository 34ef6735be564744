"""A run's ordered log and everyone who reads it.

Events are numbered 1, 2, 3 … by the process that executes the run. They are durable before any reader sees
them: one flusher commits the pending events of all runs in one statement (group commit), and only then hands
them to readers. A reader that falls behind goes back to the log; no reader holds a database connection.
"""

from heavy_agents.events.event import RELAYED, RESERVED, TERMINAL, Event, decode
from heavy_agents.events.follow import Follower, Page
from heavy_agents.events.hub import Hub
from heavy_agents.events.log import EventLog
from heavy_agents.events.tidy import MAX_EVENT_BYTES, EventTooLarge, encode, tidy
from heavy_agents.events.writer import LeaseLost, Writer

__all__ = [
    "MAX_EVENT_BYTES",
    "RELAYED",
    "RESERVED",
    "TERMINAL",
    "Event",
    "EventLog",
    "EventTooLarge",
    "Follower",
    "Hub",
    "LeaseLost",
    "Page",
    "Writer",
    "decode",
    "encode",
    "tidy",
]
