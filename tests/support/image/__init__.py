"""A Dockerfile without a container engine: what it says, and which files it brings."""

from tests.support.image.context import Context
from tests.support.image.dockerfile import Instruction, Stage, stages

__all__ = ["Context", "Instruction", "Stage", "stages"]
