"""Printing just a development token, so that a shell can use it: `curl -H "Authorization: Bearer $(…)"`."""

from __future__ import annotations

from uuid import UUID

import typer

from foundation.identity import issue_development_token
from foundation.settings import Settings

__all__ = ["DEMO_USER", "print_token"]

DEMO_USER = UUID("00000000-0000-4000-a000-0000000000d0")


async def print_token(settings: Settings, user: UUID | None) -> None:
    typer.echo(issue_development_token(settings, user or DEMO_USER))
