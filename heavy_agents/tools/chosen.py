"""Which tools an agent's row asks for: its `tools`, read and checked without I/O.

    ["now", "forecast", {"type": "http_fetch", "hosts": ["example.com", "*.example.org"]},
     {"type": "mcp", "name": "shop", "url": "https://mcp.example.com/mcp"}]

Null, absent and an empty list are no tools. What an `mcp` entry holds is read by who connects to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from foundation.errors import Json, NotConfigured
from heavy_agents.tools import fetch, forecasting, now
from heavy_agents.tools.hosts import is_host_pattern

__all__ = ["BuiltIn", "Entry", "Mcp", "WebFetch", "read_chosen"]

MOST_ENTRIES: Final = 32
# Each is connected to, listed and left within the time of one run.
MOST_SERVERS: Final = 8
MOST_HOSTS: Final = 100
SHOWN_CHARS: Final = 80
PLAIN: Final = (now.NAME, forecasting.NAME)
KINDS: Final = f'"{now.NAME}", "{fetch.NAME}", "{forecasting.NAME}" or an object with "type": "mcp"'


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A tool without settings, by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class WebFetch:
    """`hosts` is None for any public host."""

    hosts: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Mcp:
    entry: Mapping[str, Json]


Entry = BuiltIn | WebFetch | Mcp


def read_chosen(chosen: Json) -> tuple[Entry, ...]:
    """
    Raises:
        NotConfigured: names the entry and what would be right.
    """
    if chosen is None:
        return ()
    if not isinstance(chosen, list):
        raise NotConfigured("the agent's tools: wants a list")
    if len(chosen) > MOST_ENTRIES:
        raise NotConfigured(f"the agent's tools: has {len(chosen)} entries, at most {MOST_ENTRIES} are taken")
    entries = tuple(_read(each, at=f"the agent's tools[{place}]") for place, each in enumerate(chosen))
    if (servers := sum(isinstance(entry, Mcp) for entry in entries)) > MOST_SERVERS:
        raise NotConfigured(f"the agent's tools: has {servers} MCP servers, at most {MOST_SERVERS} are taken")
    _refuse_repeats(entries)
    return entries


def _read(entry: Json, *, at: str) -> Entry:
    fields = entry if isinstance(entry, dict) else {"type": entry}
    match fields.get("type"):
        case "mcp" if isinstance(entry, dict):
            return Mcp(fields)
        case fetch.NAME:
            _refuse_others(fields, {"type", "hosts"}, at=at)
            return WebFetch(_hosts(fields.get("hosts"), at=at))
        case str(name) if name in PLAIN:
            _refuse_others(fields, {"type"}, at=at)
            return BuiltIn(name)
        case _:
            raise NotConfigured(f"{at}: {_shown(entry)} is no tool; write {KINDS}")


def _refuse_others(fields: Mapping[str, Json], known: set[str], *, at: str) -> None:
    if unknown := sorted(fields.keys() - known):
        raise NotConfigured(
            f"{at}: {_shown(unknown[0])} is no field here; leave it out, there is {', '.join(sorted(known))}"
        )


def _hosts(hosts: Json, *, at: str) -> tuple[str, ...] | None:
    if hosts is None:
        return None
    if not isinstance(hosts, list) or not 1 <= len(hosts) <= MOST_HOSTS:
        raise NotConfigured(f"{at}.hosts: wants a list of 1 to {MOST_HOSTS} names; leave it out for any host")
    for host in hosts:
        if not isinstance(host, str) or not is_host_pattern(host.lower()):
            raise NotConfigured(f"{at}.hosts: {_shown(host)} is no host; write example.com or *.example.com")
    return tuple(str(host).lower() for host in hosts)


def _refuse_repeats(entries: tuple[Entry, ...]) -> None:
    names = [_name(entry) for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise NotConfigured(f"the agent's tools: {_shown(name)} is there twice; leave one out")


def _name(entry: Entry) -> Json:
    match entry:
        case BuiltIn(name):
            return name
        case WebFetch():
            return fetch.NAME
        case Mcp(fields):
            return {"type": "mcp", "name": fields.get("name")}


def _shown(value: Json) -> str:
    # An entry may hold a secret in its headers; what it is called is enough to find it.
    if isinstance(value, dict):
        value = {name: value[name] for name in ("type", "name") if name in value}
    return orjson.dumps(value, default=str).decode()[:SHOWN_CHARS]
