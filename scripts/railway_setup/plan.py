"""The steps from what is there to what should be. Pure.

A step may be done and its success never heard of; then the next plan does not have it. So every step is one
command whose effect can be seen afterwards.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scripts.railway_setup.project import Found, Service
from scripts.railway_setup.services import NATS, WEB, Source, Variable, Wanted

__all__ = ["FILES", "Plan", "Step", "id_of", "missing", "plan"]

FILES = "<its files>"
LABEL = "Set up by scripts/railway-setup.sh"


@dataclass(frozen=True)
class Step:
    """
    command: what `railway` is given; `id_of` a service stands for the id it has by then
    said: its stdin
    uploads: `FILES` stands for the folder in which files are gathered for it
    """

    what: str
    command: tuple[str, ...]
    said: str = ""
    is_secret: bool = False
    uploads: bool = False

    def shown(self) -> str:
        """As whoever reads the plan would type it, without a secret."""
        typed = shlex.join(["railway", *self.command])
        if not self.said:
            return typed
        return f"{typed} {'< (a secret, not shown)' if self.is_secret else f'<<< {shlex.quote(self.said)}'}"


@dataclass(frozen=True)
class Plan:
    """`remarks` is what stays as it is although something else would be set."""

    steps: tuple[Step, ...]
    remarks: tuple[str, ...] = ()


def id_of(service: str) -> str:
    return f"<id of {service}>"


def missing(services: Sequence[Wanted], found: Found, *, forced: frozenset[str]) -> list[Variable]:
    """Which values must come from whoever sets this up, or be made."""
    return [
        variable
        for each in services
        for variable in each.variables
        if variable.source is not Source.FIXED and _is_due(variable, found.services.get(each.name), forced)
    ]


def plan(
    services: Sequence[Wanted],
    found: Found,
    *,
    values: Mapping[str, str],
    forced: frozenset[str],
    workspace: str | None,
    may_deploy: bool,
) -> Plan:
    """
    Args:
        values: of variables that are given or made; what is not in it is left out.
        forced: names of variables that are set although they are there.
    """
    steps: list[Step] = []
    if not found.is_linked:
        of_workspace = ("--workspace", workspace) if workspace else ()
        create = ("init", "--name", found.project, *of_workspace, "--json")
        steps.append(Step(f"create the project {found.project}", create))
    steps += [step for each in services for step in _creation(each, found.services.get(each.name))]
    changes = {
        each.name: list(_changes(each, found.services.get(each.name), _due(each, found, values, forced)))
        for each in services
    }
    steps += [step for each in services for step in changes[each.name]]
    if may_deploy:
        steps += [
            _deployment(each)
            for each in services
            if not each.is_database and _is_to_deploy(found.services.get(each.name), changes[each.name])
        ]
    return Plan(tuple(steps), tuple(_remarks(services, found, forced)))


def _creation(wanted: Wanted, service: Service | None) -> Iterator[Step]:
    if service is None:
        kind = ("--database", wanted.name.lower()) if wanted.is_database else ("--service", wanted.name)
        yield Step(f"create the service {wanted.name}", ("add", *kind, "--json"))
    if wanted.volume and (service is None or not service.volumes):
        command = ("volume", "--service", id_of(wanted.name), "add", "--mount-path", wanted.volume, "--json")
        yield Step(f"give {wanted.name} a volume at {wanted.volume}", command)


def _changes(wanted: Wanted, service: Service | None, due: Mapping[str, str]) -> Iterator[Step]:
    if settings := _unset(wanted, service):
        patch = json.dumps({"services": {id_of(wanted.name): settings}})
        edit = ("environment", "edit", "--message", LABEL, "--json")
        yield Step(f"set how {wanted.name} is built and deployed", edit, said=patch)
    target = ("--service", wanted.name, "--skip-deploys", "--json")
    secret = {each.name for each in wanted.variables if each.is_secret}
    plain = [f"{name}={value}" for name, value in due.items() if name not in secret]
    if plain:
        yield Step(f"set {len(plain)} variables of {wanted.name}", ("variable", "set", *plain, *target))
    for name, value in due.items():
        if name in secret:
            one = ("variable", "set", name, "--stdin", *target)
            yield Step(f"set {name} of {wanted.name}", one, said=value, is_secret=True)
    if wanted.has_domain and (service is None or not service.url):
        yield Step(f"give {wanted.name} a domain", ("domain", "--service", wanted.name, "--json"))


def _deployment(wanted: Wanted) -> Step:
    what = f"build and deploy {wanted.name}"
    options = ("--service", wanted.name, "--detach", "--json", "--message", LABEL)
    if wanted.name == NATS:
        # From a folder of its own: a settings file at the root would have the server's Dockerfile built.
        return Step(what, ("up", FILES, "--path-as-root", *options), uploads=True)
    return Step(what, ("up", *options))


def _due(wanted: Wanted, found: Found, given: Mapping[str, str], forced: frozenset[str]) -> dict[str, str]:
    """What is to be set. A reference to what web does not have would be an empty value, so it is left out."""
    service, web = found.services.get(wanted.name), found.services.get(WEB)
    of_web = {*given, *(web.values if web is not None else ())}
    values = {
        each.name: each.value or given.get(each.name, "")
        for each in wanted.variables
        if _is_due(each, service, forced) and (not each.of_web or each.name in of_web)
    }
    return {name: value for name, value in values.items() if value}


def _is_due(variable: Variable, service: Service | None, forced: frozenset[str]) -> bool:
    return service is None or variable.name not in service.values or variable.name in forced


def _is_to_deploy(service: Service | None, changes: Sequence[Step]) -> bool:
    return service is None or not service.is_deployed or bool(changes)


def _unset(wanted: Wanted, service: Service | None) -> dict[str, dict[str, object]]:
    """What is not set yet. What Railway gives to a service that was never deployed is nobody's choice."""
    present = service.settings if service is not None else {}
    is_deployed = service is not None and service.is_deployed
    parts = {
        part: {
            name: value
            for name, value in names.items()
            if f"{part}.{name}" not in present or (present[f"{part}.{name}"] != value and not is_deployed)
        }
        for part, names in wanted.settings.items()
    }
    return {part: names for part, names in parts.items() if names}


def _remarks(services: Sequence[Wanted], found: Found, forced: frozenset[str]) -> Iterator[str]:
    for wanted in services:
        service = found.services.get(wanted.name)
        if service is None:
            continue
        for each in wanted.variables:
            there = service.values.get(each.name, "")
            # References are read as what they come to.
            is_other = bool(there and each.value) and each.value != there and "${{" not in each.value
            if is_other and each.name not in forced:
                name = f"{each.name} of {wanted.name}"
                yield f"{name} stays {there}; {each.value} would be set with --force {each.name}"
        if wanted.volume and service.volumes and wanted.volume not in service.volumes:
            yield f"the volume of {wanted.name} stays at {service.volumes[0]}, and not at {wanted.volume}"
