"""What replicas tell each other so that nobody waits for the next look at the database."""

from foundation.hints.chosen import hints_of
from foundation.hints.nats import NatsHints
from foundation.hints.opening import open_nats
from foundation.hints.port import Deaf, Hints, Listener, Queued, Rows
from foundation.hints.postgres import PostgresHints

__all__ = [
    "Deaf",
    "Hints",
    "Listener",
    "NatsHints",
    "PostgresHints",
    "Queued",
    "Rows",
    "hints_of",
    "open_nats",
]
