"""What replicas tell each other so that nobody waits for the next look at the database."""

from foundation.hints.port import Deaf, Hints, Listener, Queued, Rows
from foundation.hints.postgres import PostgresHints

__all__ = ["Deaf", "Hints", "Listener", "PostgresHints", "Queued", "Rows"]
