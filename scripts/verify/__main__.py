"""The command: what it was given, the checks one after another, the table, the exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from scripts.verify.arguments import Wanted, wanted_of
from scripts.verify.checks import CHECKS, verdict
from scripts.verify.deployment import Deployment
from scripts.verify.table import Table

__all__ = ["main"]

# What everything but the run may take together.
REST_S = 120.0


def main(arguments: Sequence[str]) -> int:
    """0: nothing failed, 1: something did. Asked wrongly, it exits with 2."""
    wanted = wanted_of(arguments)
    print(f"checking {wanted.url}")
    if wanted.token is not None and wanted.may_run:
        print("One run will be started, and its user pays what the agent costs; --no-run leaves that out.")
    print(flush=True)
    deployment, table = _deployment(wanted), Table()
    for check in CHECKS:
        table.add(check.name, *verdict(check, deployment))
    return 0 if table.close() else 1


def _deployment(wanted: Wanted) -> Deployment:
    given = {
        "given": wanted.token is not None,
        "wanted": wanted.may_run,
        "metrics_token": wanted.metrics_token is not None,
    }
    return Deployment(
        site=wanted.site,
        token=wanted.token,
        metrics_token=wanted.metrics_token,
        agent=wanted.agent,
        agent_input=wanted.agent_input,
        wait_s=wanted.wait_s,
        deadline_s=time.monotonic() + REST_S + wanted.wait_s,
        has={name for name, is_given in given.items() if is_given},
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
