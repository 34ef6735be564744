"""Which verbs there are; `serve` is the default.

What a verb needs is imported by the verb: nobody who asks for a token waits for the server to be loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from commands.doctor import doctor_command
from commands.quick import loading, without_colours
from commands.run import run_command
from foundation.errors import HeavyError, StartRefused
from foundation.settings import Role, Settings, load

if TYPE_CHECKING:
    from commands.backend import Build

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
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    _add_serving(app, build)

    @app.command("migrate", help="Bring the database to this release's schema.")
    def migrate_command() -> None:
        from commands.migrate import apply_migrations

        _run(apply_migrations)

    @app.command("token", help="Print a development token; refused in production.")
    def token_command(user: Annotated[UUID | None, typer.Option(help=USER_HELP)] = None) -> None:
        from commands.token import print_token

        _run(lambda settings: print_token(settings, user))

    @app.command("demo", help="Serve, and send one heavy run through the public door.")
    def demo_command() -> None:
        from commands.demo import show_demo

        _run(lambda settings: show_demo(settings, build))

    app.command("run")(run_command)
    app.command("doctor")(doctor_command)
    return app


def _add_serving(app: typer.Typer, build: Build) -> None:
    def serve_as(role: Role | None) -> None:
        loading()
        with without_colours():
            from commands.serve import serve

        _run(lambda settings: serve(settings, build), role=role)

    @app.callback(invoke_without_command=True)
    def default(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            serve_as(None)

    @app.command("serve", help="Serve until SIGTERM.")
    def serve_command() -> None:
        serve_as(None)

    @app.command("worker", help="Execute runs and answer no callers: `serve` with ROLE=worker.")
    def worker_command() -> None:
        serve_as(Role.WORKER)


# Any: what a coroutine yields and takes is asyncio's business.
def _run(verb: Callable[[Settings], Coroutine[Any, Any, None]], *, role: Role | None = None) -> None:
    import uvloop

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(verb(load(role=role)))
    except (StartRefused, HeavyError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
