"""The command line of a backend: serve, migrate, token, demo, run, doctor."""

from commands.cli import main

__all__ = ["main"]
