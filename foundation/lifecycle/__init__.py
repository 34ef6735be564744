"""Who starts, drains and stops what, and in which order."""

from foundation.lifecycle.lifecycle import Lifecycle, Service
from foundation.lifecycle.tasks import TaskOwner

__all__ = ["Lifecycle", "Service", "TaskOwner"]
