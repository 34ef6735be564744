"""The options of `doctor`; it ends with 0 only if nothing is wrong.

What the verb needs is imported by the verb: whoever serves does not wait for it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from commands.doctor.finding import Finding

__all__ = ["doctor_command"]

WELL, UNWELL, LEFT = 0, 1, 130


def doctor_command(
    *,
    json: Annotated[
        bool, typer.Option("--json", help="For programs: every finding, and whether all is ok.")
    ] = False,
) -> None:
    """Look at settings, port, database, migrations, clock, model, project, NATS, Redis, traces and reports.

    Changes nothing and buys nothing. Ends with 0 only if nothing is wrong.
    """
    from commands.doctor.report import as_json, as_lines, is_well
    from commands.doctor.verb import visit
    from foundation.telemetry import configure

    # What is wrong is told by the findings, not by log lines between them.
    configure("error")
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        findings = asyncio.run(visit())
    except KeyboardInterrupt:
        raise typer.Exit(LEFT) from None
    if json:
        typer.echo(as_json(findings))
    elif sys.stdout.isatty():
        _show(findings)
    else:
        typer.echo("\n".join(as_lines(findings)))
    raise typer.Exit(WELL if is_well(findings) else UNWELL)


def _show(findings: Sequence[Finding]) -> None:
    from rich.console import Console

    from commands.doctor.report import as_table

    Console(highlight=False, emoji=False, markup=False).print(as_table(findings))
