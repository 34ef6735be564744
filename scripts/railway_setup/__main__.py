"""The command: read, plan, print, ask once, do it step by step."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from scripts.railway_setup.arguments import Options, options_of
from scripts.railway_setup.asking import agrees, is_somebody_there, values_of
from scripts.railway_setup.plan import FILES, Plan, Step, id_of, missing, plan
from scripts.railway_setup.project import Found, find
from scripts.railway_setup.railway import Railway, Stopped
from scripts.railway_setup.services import REDIS, WEB, Wanted, wanted
from scripts.railway_setup.upload import nats_files

__all__ = ["main"]

UNKNOWN = "(asked for, or made)"
NOBODY = "nobody is there to be asked; say --yes to go on without, or --dry-run to see the plan"


def main(arguments: Sequence[str]) -> int:
    """0: all is as it should be, or would be. 1: stopped, or not agreed to. 130: left by Ctrl-C."""
    options = options_of(arguments)
    railway = Railway()
    try:
        print(f"logged in as {railway.check()}")
        if not _set_up(railway, options):
            print("Nothing was changed.")
            return 1
    except Stopped as stopped:
        print(f"railway-setup: {stopped}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\nrailway-setup: left; run it again to go on", file=sys.stderr)
        return 130
    return 0


def _set_up(railway: Railway, options: Options) -> bool:
    """Whether it was agreed to."""
    found = find(railway, project=options.project)
    if found.unlinked_id is not None:
        link = ("link", "--project", found.unlinked_id, "--json")
        step = Step(f"link this folder to the project {found.project}, which is there", link)
        if not _carry_out(railway, Plan((step,)), options):
            return False
        if options.is_dry:
            print("What is in it can be seen, and planned, once this folder is linked to it.")
            return True
        found = find(railway, project=options.project)
    todo = _plan(railway, options, found)
    if not todo.steps:
        _print_remarks(todo)
        print("Everything is as it should be; nothing is changed.")
    elif not _carry_out(railway, todo, options):
        return False
    if not options.is_dry:
        _print_end(railway)
    return True


def _plan(railway: Railway, options: Options, found: Found) -> Plan:
    # Its template calls it so; somebody may have called it otherwise.
    redis = next((name for name in found.services if name.lower() == REDIS.lower()), REDIS)
    needed = wanted(
        has_worker=options.has_worker, has_nats=options.has_nats, redis=redis if options.has_redis else None
    )
    variables = [variable for service in needed for variable in service.variables]
    if unknown := sorted(options.forced - {each.name for each in variables}):
        raise Stopped(f"--force {unknown[0]}: no variable of that name is set here")
    values = _values(needed, found, options)
    railway.secrets = {values[each.name] for each in variables if each.is_secret and each.name in values}
    return plan(
        needed,
        found,
        values=values,
        forced=options.forced,
        workspace=options.workspace,
        may_deploy=options.may_deploy,
    )


def _values(needed: Sequence[Wanted], found: Found, options: Options) -> dict[str, str]:
    due = missing(needed, found, forced=options.forced)
    if options.is_dry:
        public = {each.name: os.environ.get(each.name, "") for each in due if not each.is_secret}
        return {each.name: public.get(each.name) or UNKNOWN for each in due}
    may_ask = is_somebody_there()
    if not may_ask and not options.is_agreed:
        raise Stopped(NOBODY)
    web = found.services.get(WEB)
    # Who has once said that there is none is not asked again.
    is_new = web is None or not web.is_deployed
    asked = [each for each in due if each.is_needed or is_new or each.name in os.environ]
    return values_of(asked, environment=os.environ, may_ask=may_ask)


def _carry_out(railway: Railway, todo: Plan, options: Options) -> bool:
    """Print it, ask, do it. Whether it was agreed to; a dry run is."""
    print("\nthe plan:")
    for number, step in enumerate(todo.steps, 1):
        print(f"{number:>3}. {step.what}\n     {step.shown()}")
    _print_remarks(todo)
    if options.is_dry:
        print("\nThis was a dry run: nothing was changed.")
        return True
    if not options.is_agreed:
        if not is_somebody_there():
            raise Stopped(NOBODY)
        if not agrees(f"\nDo these {len(todo.steps)} steps?"):
            return False
    print()
    for step in todo.steps:
        _do(railway, step)
        print(f"done: {step.what}", flush=True)
    return True


def _do(railway: Railway, step: Step) -> None:
    command, said = list(step.command), step.said
    if any("<id of " in each for each in (*command, said)):
        for row in railway.ask("service", "list", "--json"):
            command = [each.replace(id_of(row["name"]), row["id"]) for each in command]
            said = said.replace(id_of(row["name"]), row["id"])
    if not step.uploads:
        railway.change(step.what, command, said=said)
        return
    with nats_files() as folder:
        railway.change(step.what, [folder if each == FILES else each for each in command])


def _print_remarks(todo: Plan) -> None:
    for remark in todo.remarks:
        print(f"note: {remark}")


def _print_end(railway: Railway) -> None:
    rows = railway.ask("service", "list", "--json")
    address = next((row["url"] for row in rows if row["name"] == WEB and row.get("url")), "<its domain>")
    print("\nWhen it is built (`railway logs --service web --build`), check it from outside:")
    print(f"  scripts/verify-deployment.sh {address if '://' in address else f'https://{address}'} @token")
    print("Its secrets, for edge functions and Prometheus: railway variable list --service web --kv")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
