"""What is asked for on the command line. No value of a variable is among it, secret or not."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Options", "options_of"]

ABOUT = "Sets Switchyard up on Railway: what is there stays, what is missing is made."
VALUES = (
    "SUPABASE_URL, DATABASE_URL, OPENAI_API_KEY and ALLOWED_ORIGINS are read from the environment, or asked"
    " for. RAILWAY_BACKEND_SECRET and METRICS_TOKEN are made. No secret is printed, and none is an argument"
    " of a command."
)


@dataclass(frozen=True)
class Options:
    project: str | None
    workspace: str | None
    has_worker: bool
    has_nats: bool
    has_redis: bool
    may_deploy: bool
    is_dry: bool
    is_agreed: bool
    forced: frozenset[str]


def options_of(arguments: Sequence[str]) -> Options:
    """Exits with 2 and a sentence when they are wrong."""
    given = _parser().parse_args(arguments)
    return Options(
        project=given.project,
        workspace=given.workspace,
        has_worker=not given.no_worker,
        has_nats=given.nats,
        has_redis=given.redis,
        may_deploy=not given.no_deploy,
        is_dry=given.dry_run,
        is_agreed=given.yes,
        forced=frozenset(given.force),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("railway-setup.sh", description=ABOUT, epilog=VALUES)
    parser.add_argument("--dry-run", action="store_true", help="print every command, run none that changes")
    parser.add_argument("--yes", action="store_true", help="go on without asking")
    parser.add_argument("--project", metavar="NAME", help="its name (the linked one, or switchyard)")
    parser.add_argument("--workspace", metavar="NAME", help="where a new project is made")
    parser.add_argument("--no-worker", action="store_true", help="web executes the runs too")
    parser.add_argument("--nats", action="store_true", help="a message server, with a volume")
    parser.add_argument("--redis", action="store_true", help="a Redis, so that replicas count together")
    parser.add_argument("--no-deploy", action="store_true", help="set up, but build and start nothing")
    parser.add_argument(
        "--force", metavar="NAME", action="append", default=[], help="set this variable although it is there"
    )
    return parser
