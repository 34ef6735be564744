"""The arguments and options of `run`, and what its exit code means.

    0 succeeded · 1 failed or cancelled · 2 asked wrongly, or refused · 3 out of sight · 130 left

What the verb needs is imported by the verb: whoever serves does not wait for it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import orjson
import typer

from foundation.errors import HeavyError
from foundation.settings import SettingsError

if TYPE_CHECKING:
    from commands.run.refused import Refused
    from commands.run.wanted import Wanted

__all__ = ["run_command"]

WRONG, LEFT = 2, 130


Agent = Annotated[str | None, typer.Argument(help="An agent's id, or its name; without it: which there are.")]
Message = Annotated[str | None, typer.Argument(help="What to tell it; - reads standard input.")]
Input = Annotated[
    str | None,
    typer.Option(help="What its kind takes: a JSON object, @file, or @- for standard input."),
]
Conversation = Annotated[UUID | None, typer.Option(help="The conversation it belongs to.")]
Key = Annotated[str | None, typer.Option(help="Idempotency-Key: the same key and run again joins it.")]
Resume = Annotated[UUID | None, typer.Option(help="Follow a run that exists.")]
After = Annotated[int | None, typer.Option(min=0, help="With --resume: the last `seq` seen.")]
Cancel = Annotated[UUID | None, typer.Option(help="Cancel a run; what it used is charged.")]
Url = Annotated[str | None, typer.Option(help="The server; this machine's own unless given.")]
Token = Annotated[
    str | None,
    typer.Option(help="An access token, an API key, or @file with one; a development token unless given."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the answer.")]
Json = Annotated[bool, typer.Option("--json", help="Every message, a line of JSON each.")]


def run_command(
    context: typer.Context,
    agent: Agent = None,
    message: Message = None,
    *,
    input: Input = None,  # noqa: A002 - the option's name
    conversation: Conversation = None,
    key: Key = None,
    resume: Resume = None,
    after: After = None,
    cancel: Cancel = None,
    url: Url = None,
    token: Token = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Run an agent on a running server and show it as it happens.

    It goes on by itself when the connection is lost or the server restarts. Leaving does not cancel.
    """
    from commands.run.wanted import Wanted

    program = context.find_root().info_name or "railway_server.py"
    wanted = Wanted(
        program=program,
        agent=agent,
        message=message,
        input=input,
        conversation=conversation,
        key=key,
        resume=resume,
        after=after,
        cancel=cancel,
        url=url,
        token=token,
        quiet=quiet,
        json=json,
    )
    raise typer.Exit(_exit_code(wanted))


def _exit_code(wanted: Wanted) -> int:
    from commands.run.refused import Refused
    from commands.run.verb import run

    # A name no terminal of this encoding can show must not end the run's display.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        return asyncio.run(run(wanted))
    except Refused as error:
        _explain(error, as_json=wanted.json)
        return WRONG
    except (SettingsError, HeavyError) as error:
        typer.echo(str(error), err=True)
        return WRONG
    except KeyboardInterrupt:
        return LEFT
    except BrokenPipeError:
        # Whoever read has enough, as `head` has; Python must not find the pipe closed once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return LEFT


def _explain(error: Refused, *, as_json: bool) -> None:
    if as_json and error.document is not None:
        typer.echo(orjson.dumps(error.document).decode())
    typer.echo("\n".join(error.lines), err=True)
