"""The command line of a backend: serve, migrate, token, demo, run."""

from commands.cli import main

__all__ = ["main"]
