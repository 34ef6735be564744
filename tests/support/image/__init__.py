"""A Dockerfile without a container engine: what it says, what it brings, its steps done in a bare root."""

from tests.support.image.context import Context
from tests.support.image.dockerfile import Instruction, Stage, stages

__all__ = ["Context", "Instruction", "Stage", "stages"]
