"""The command line of the faults; see the package."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence

from foundation.telemetry import configure
from tests.hardening.catalogue import FAULTS
from tests.hardening.fault import Fault, Mutation
from tests.hardening.run import perform
from tests.support.database import DatabaseServer


def main() -> int:
    asked = _arguments()
    if asked.list or asked.name is None:
        for fault in FAULTS:
            print(f"{fault.name:20} full {fault.full_n:6} small {fault.small_n:4}  {fault.promise}")  # noqa: T201
        return 0
    faults = [fault for fault in FAULTS if asked.name in {fault.name, "all"}]
    if not faults:
        print(f"no fault is called {asked.name!r}; see --list", file=sys.stderr)  # noqa: T201
        return 2
    configure("error")
    return asyncio.run(_perform(faults, asked))


async def _perform(faults: Sequence[Fault], asked: argparse.Namespace) -> int:
    server = DatabaseServer()
    await server.start()
    are_as_expected = True
    try:
        for fault in faults:
            for mutation in _mutations(fault, asked.mutate):
                n = asked.n or (fault.full_n if asked.full else mutation.n if mutation else 0)
                report = await perform(
                    fault, server, n=n or fault.small_n, seed=asked.seed, mutation=mutation
                )
                print(report.line(), flush=True)  # noqa: T201
                are_as_expected &= report.is_as_expected
    finally:
        await server.stop()
    return 0 if are_as_expected else 1


def _mutations(fault: Fault, wanted: str | None) -> Sequence[Mutation | None]:
    """None is the fault as it is."""
    if wanted is None:
        return [None]
    return [each for each in fault.mutations if wanted in {"", each.name}]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.hardening", description=__doc__)
    parser.add_argument("name", nargs="?", help="a fault, or all")
    parser.add_argument("--list", action="store_true", help="which faults there are")
    parser.add_argument("--n", type=int, default=0, help="how often it happens; its small N if not given")
    parser.add_argument("--full", action="store_true", help="as often as releases report")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="drawn if not given")  # noqa: S311
    parser.add_argument(
        "--mutate", nargs="?", const="", metavar="NAME", help="take its guards away, or this one"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
