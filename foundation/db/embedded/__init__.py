"""A Postgres of our own, for a laptop or a single container: the same SQL, nothing to install."""

from foundation.db.embedded.lock import FolderTaken
from foundation.db.embedded.server import EmbeddedPostgres, embedded_url

__all__ = ["EmbeddedPostgres", "FolderTaken", "embedded_url"]
