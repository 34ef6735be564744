"""A stand-in for Railway's command line: a program on PATH, and the pretended account it works on.

It takes the subcommands and flags of its version 5 and no others, and does to its account what the real one
does to Railway's, as far as `scripts/railway-setup.sh` can see. Every call is written down with its stdin.
The program itself only hands its arguments over, so that a call costs next to nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import socketserver
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Literal, NoReturn

__all__ = ["CHANGING", "PROGRAM", "Account", "Call", "Document", "Stub", "stubbed"]

CHANGING = ("init", "link", "add", "volume add", "environment edit", "variable set", "domain", "up")
NOT_LINKED = "No linked project found. Run railway link to connect to a project"
REFERENCE = re.compile(r"\$\{\{(\w+)\.(\w+)\}\}")
PROGRAM = """#!/usr/bin/env bash
exec 3<>"/dev/tcp/127.0.0.1/$STUB_PORT"
[[ ! -t 0 && ! -t 1 ]] || exit 99
IFS= read -r -d '' said || true
printf '%s\\0' "$PWD" "$said" "$#" "$@" >&3
IFS= read -r -d '' code <&3
IFS= read -r -d '' err <&3
IFS= read -r -d '' out <&3
printf '%s' "$err" >&2
printf '%s' "$out"
exit "$code"
"""

# Any: documents of Railway.
Document = dict[str, Any]


class Refused(Exception):
    """What the real one would say on stderr."""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(message)


@dataclass(frozen=True)
class Call:
    verb: str
    argv: list[str]
    stdin: str


@dataclass
class Account:
    """services: by id, of the one project there may be"""

    user: str = "somebody@example.com"
    version: str = "5.49.4"
    project: Document | None = None
    is_linked: bool = False
    services: dict[str, Document] = field(default_factory=dict)

    def service(self, wanted: str) -> Document:
        for key, each in self.services.items():
            if wanted in (key, each["name"]):
                return each
        raise Refused(f"Service {wanted} not found")

    def named(self, name: str) -> Document:
        return next(each for each in self.services.values() if each["name"] == name)

    def add(self, name: str, **values: str) -> None:
        taken = {each["name"] for each in self.services.values()}
        while name in taken:
            name += "-2"
        key = str(uuid.uuid4())
        base = {"variables": {"RAILWAY_SERVICE_NAME": name, **values}, "volumes": [], "up": []}
        base["config"] = {"build": {"builder": "RAILPACK"}, "deploy": {"restartPolicyType": "ON_FAILURE"}}
        self.services[key] = {"id": key, "name": name, "url": None, **base}

    def rendered(self, value: str) -> str:
        def resolved(found: re.Match[str]) -> str:
            other = self.service(found[1])["variables"]
            return str(other.get(found[2], f"{found[1]}.railway.internal" if "PRIVATE" in found[2] else ""))

        return REFERENCE.sub(resolved, value)


def parser() -> Parser:
    whole = Parser("railway")
    verbs = whole.add_subparsers(dest="verb", required=True)
    for verb in ("whoami", "status", "list"):
        _options(verbs.add_parser(verb), "")
    _options(verbs.add_parser("init"), "-n --name", "-w --workspace")
    _options(verbs.add_parser("link"), "-e --environment", "-p --project", "-s --service", "-w --workspace")
    _options(verbs.add_parser("add"), "-d --database", "-s --service", "-r --repo", "-i --image")
    service = verbs.add_parser("service").add_subparsers(dest="noun", required=True)
    _options(service.add_parser("list"), "-e --environment", "-p --project")
    volume = verbs.add_parser("volume")
    volume.add_argument("-s", "--service")
    volumes = volume.add_subparsers(dest="noun", required=True)
    _options(volumes.add_parser("add"), "-m --mount-path")
    environment = verbs.add_parser("environment").add_subparsers(dest="noun", required=True)
    _options(environment.add_parser("config"), "-e --environment")
    _options(environment.add_parser("edit"), "-e --environment", "-m --message")
    variable = verbs.add_parser("variable").add_subparsers(dest="noun", required=True)
    _options(variable.add_parser("list"), "-s --service", "-e --environment")
    setting = variable.add_parser("set")
    setting.add_argument("variables", nargs="+")
    setting.add_argument("--stdin", action="store_true")
    setting.add_argument("--skip-deploys", action="store_true")
    _options(setting, "-s --service", "-e --environment")
    _options(verbs.add_parser("domain"), "-s --service", "-p --port", "-e --environment")
    up = verbs.add_parser("up")
    up.add_argument("path", nargs="?")
    up.add_argument("-d", "--detach", action="store_true")
    up.add_argument("--path-as-root", action="store_true")
    _options(up, "-s --service", "-e --environment", "-m --message")
    return whole


def _options(verb: argparse.ArgumentParser, *options: str) -> None:
    for each in options:
        if each:
            verb.add_argument(*each.split())
    verb.add_argument("--json", action="store_true")


def answer(account: Account, verb: str, given: argparse.Namespace, said: str) -> object:
    if verb == "whoami":
        return {"name": "Somebody", "email": account.user, "workspaces": []}
    if verb == "list":
        return [account.project] if account.project else []
    if verb in {"init", "link"}:
        return _begin(account, given, verb)
    if not account.is_linked:
        raise Refused(NOT_LINKED)
    return VERBS[verb](account, given, said)


def _begin(account: Account, given: argparse.Namespace, verb: str) -> object:
    if verb == "init":
        account.project = {"id": str(uuid.uuid4()), "name": given.name, "deletedAt": None}
    elif account.project is None or given.project not in account.project.values():
        raise Refused(f"Project {given.project} not found")
    account.is_linked = True
    return account.project


def _add(account: Account, given: argparse.Namespace, _: str) -> object:
    if given.database:
        assert given.database == "redis"
        account.add("Redis", REDIS_URL="redis://default:redis-password@redis.railway.internal:6379")
    else:
        account.add(given.service)
    return {}


def _list(account: Account, _: argparse.Namespace, __: str) -> object:
    return [
        {
            "id": each["id"],
            "name": each["name"],
            "url": each["url"],
            "deploymentId": each["up"][-1]["id"] if each["up"] else None,
            "latestDeployment": each["up"][-1] if each["up"] else None,
            "volumes": [{"name": "a-volume", "mountPath": path} for path in each["volumes"]],
        }
        for each in account.services.values()
    ]


def _volume(account: Account, given: argparse.Namespace, _: str) -> object:
    if given.service not in account.services:
        raise Refused("called `Option::unwrap()` on a `None` value: it wants an id")
    if account.services[given.service]["volumes"]:
        raise Refused("A volume is already mounted on service")
    account.services[given.service]["volumes"].append(given.mount_path)
    return {"id": "a-volume-id", "name": "a-volume"}


def _config(account: Account, _: argparse.Namespace, __: str) -> object:
    return {
        "services": {
            key: {**each["config"], "variables": {name: {"value": "…"} for name in each["variables"]}}
            for key, each in account.services.items()
        }
    }


def _edit(account: Account, _: argparse.Namespace, said: str) -> object:
    for key, patch in json.loads(said)["services"].items():
        if key not in account.services:
            raise Refused(f"Service '{key}' not found in environment")
        for part, names in patch.items():
            account.services[key]["config"].setdefault(part, {}).update(names)
    return {"staged": True, "committed": True}


def _variables(account: Account, given: argparse.Namespace, _: str) -> object:
    variables = account.service(given.service)["variables"]
    return {name: account.rendered(value) for name, value in variables.items()}


def _set(account: Account, given: argparse.Namespace, said: str) -> object:
    variables = account.service(given.service)["variables"]
    if given.stdin:
        (key,) = given.variables
        if "=" in key or not said.strip():
            raise Refused("Empty value provided via stdin")
        variables[key] = said.rstrip("\n")
        return {"keys": [key], "set": True}
    for pair in given.variables:
        name, equals, value = pair.partition("=")
        if not equals:
            raise Refused(f"Invalid variable {pair}")
        variables[name] = value
    return {"keys": given.variables, "set": True}


def _domain(account: Account, given: argparse.Namespace, _: str) -> object:
    service = account.service(given.service)
    service["url"] = service["url"] or f"{service['name']}-production.up.railway.app"
    return {"domain": f"https://{service['url']}"}


def _up(account: Account, given: argparse.Namespace, _: str) -> object:
    folder = given.folder / (given.path or ".")
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    deployment = {"id": str(uuid.uuid4()), "files": files if given.path_as_root else []}
    account.service(given.service)["up"].append(deployment)
    return {"deploymentId": deployment["id"], "logsUrl": "https://railway.com"}


VERBS: dict[str, Callable[[Account, argparse.Namespace, str], object]] = {
    "status": lambda account, _, __: account.project,
    "add": _add,
    "service list": _list,
    "volume add": _volume,
    "environment config": _config,
    "environment edit": _edit,
    "variable list": _variables,
    "variable set": _set,
    "domain": _domain,
    "up": _up,
}


PARSER = parser()


class Stub:
    """
    Attributes:
        fails: when the next changing call fails: before its effect or after it; never if None.
    """

    def __init__(self) -> None:
        self.account = Account()
        self.calls: list[Call] = []
        self.fails: Literal["before", "after"] | None = None

    @property
    def changes(self) -> list[str]:
        return [call.verb for call in self.calls if call.verb in CHANGING]

    def called(self, argv: list[str], said: str, *, folder: Path) -> tuple[int, str, str]:
        """Exit code, stderr and stdout of one call."""
        if argv == ["--version"]:
            return 0, "", f"railway {self.account.version}\n"
        try:
            given = PARSER.parse_args(argv)
            verb = " ".join(filter(None, [given.verb, getattr(given, "noun", None)]))
            self.calls.append(Call(verb, argv, said))
            given.folder = folder
            return 0, "", json.dumps(self._done(verb, given, said))
        except Refused as refused:
            return 1, f"{refused}\n", ""

    def _done(self, verb: str, given: argparse.Namespace, said: str) -> object:
        if not self.account.user:
            raise Refused("Unauthorized. Please login with `railway login`")
        fails = self.fails if verb in CHANGING else None
        if fails == "before":
            raise Refused(f"the connection was lost while sending {said}")
        document = answer(self.account, verb, given, said)
        if fails == "after":
            raise Refused(f"the connection was lost after {said}")
        return document


@contextmanager
def stubbed() -> Iterator[tuple[Stub, int]]:
    """A stub, and the port at which `PROGRAM` finds it."""
    stub = Stub()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            folder, said, count = (_field(self.rfile) for _ in range(3))
            argv = [_field(self.rfile) for _ in range(int(count))]
            code, err, out = stub.called(argv, said, folder=Path(folder))
            self.wfile.write(f"{code}\0{err}\0{out}\0".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield stub, server.server_address[1]
        server.shutdown()
        thread.join()


def _field(stream: BufferedIOBase) -> str:
    """Up to the next NUL."""
    found = bytearray()
    while (byte := stream.read(1)) not in (b"\0", b""):
        found += byte
    return found.decode()
