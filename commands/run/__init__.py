"""The verb `run`: a client of a running server, through its public door only."""

from commands.run.command import run_command

__all__ = ["run_command"]
