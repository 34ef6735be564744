"""Which verbs there are; `serve` is the default."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from uuid import UUID

import typer
import uvloop

from commands.backend import Build
from commands.demo import show_demo
from commands.doctor import doctor_command
from commands.migrate import apply_migrations
from commands.run import run_command
from commands.serve import serve
from commands.token import print_token
from foundation.db import MigrationError
from foundation.errors import HeavyError
from foundation.settings import Settings, SettingsError, load

__all__ = ["main"]

USER_HELP = "Whose token; the demo's user unless given."


def main(build: Build) -> None:
    """Run the verb the command line names; mistakes of the operator are one line each, without a trace."""
    cli(build)()


def cli(build: Build) -> typer.Typer:
    app = typer.Typer(
        help="Switchyard: the heavy-agent backend for Supabase apps.",
        add_completion=False,
        pretty_exceptions_enable=False,
        invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def default(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            _run(lambda settings: serve(settings, build))

    @app.command("serve", help="Serve until SIGTERM.")
    def serve_command() -> None:
        _run(lambda settings: serve(settings, build))

    @app.command("migrate", help="Bring the database to this release's schema.")
    def migrate_command() -> None:
        _run(apply_migrations)

    @app.command("token", help="Print a development token; refused in production.")
    def token_command(user: Annotated[UUID | None, typer.Option(help=USER_HELP)] = None) -> None:
        _run(lambda settings: print_token(settings, user))

    @app.command("demo", help="Serve, and send one heavy run through the public door.")
    def demo_command() -> None:
        _run(lambda settings: show_demo(settings, build))

    app.command("run")(run_command)
    app.command("doctor")(doctor_command)
    return app


# Any: what a coroutine yields and takes is asyncio's business.
def _run(verb: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(verb(load()))
    except (SettingsError, HeavyError, MigrationError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
