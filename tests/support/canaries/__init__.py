"""Secrets that nobody may find again: where they are planted, and where they are looked for."""

from tests.support.canaries.planted import Planted
from tests.support.canaries.scene import Scene

__all__ = ["Planted", "Scene"]
