"""What is asked for on the command line, and the secrets, which have better ways in than that."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.verify.web import Document, Site, site_of

__all__ = ["Wanted", "wanted_of"]

ABOUT = "Asks a deployment everything it promises, from outside, and prints a table."
SECRETS = (
    "TOKEN is an access token of the Supabase project or an API key, or @file with one, or @- for standard"
    " input, which keep it out of the list of processes. METRICS_TOKEN is read from the environment."
    " Exits with 0 when no check failed, 1 when one did, 2 when it was asked wrongly."
)


@dataclass(frozen=True)
class Wanted:
    url: str
    site: Site
    token: str | None
    metrics_token: str | None
    may_run: bool
    agent: str | None
    agent_input: Document | None
    wait_s: float


def wanted_of(arguments: Sequence[str]) -> Wanted:
    """Exits with 2 and a sentence when they are wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    site = site_of(given.url)
    if site is None:
        parser.error(f"{given.url!r} is no address such as https://app.up.railway.app")
    try:
        token, agent_input = _secret(given.token), _object(given.input)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return Wanted(
        url=given.url,
        site=site,
        token=token,
        metrics_token=os.environ.get("METRICS_TOKEN") or None,
        may_run=not given.no_run,
        agent=given.agent,
        agent_input=agent_input,
        wait_s=given.wait,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("verify-deployment.sh", description=ABOUT, epilog=SECRETS)
    parser.add_argument("url", metavar="URL", help="where it is served, https://app.up.railway.app")
    parser.add_argument("token", metavar="TOKEN", nargs="?", help="whoever is to start a run; see below")
    parser.add_argument("--no-run", action="store_true", help="start no run, so that it costs nothing")
    parser.add_argument(
        "--agent", metavar="ID|NAME", help="the agent to run; one that the caller may run if not given"
    )
    parser.add_argument("--input", metavar="JSON", help="what that agent takes as input, or @file with it")
    parser.add_argument("--wait", metavar="SECONDS", type=_seconds, default=120.0, help="for the run (120)")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 7200:
        raise ValueError
    return seconds


def _secret(given: str | None) -> str | None:
    """
    Raises:
        ValueError: it is empty, or nothing that fits into a header.
    """
    if given is None:
        return None
    token = _read(given).strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("TOKEN is empty, or is no token")
    return token


def _object(given: str | None) -> Document | None:
    if given is None:
        return None
    found = json.loads(_read(given))
    if not isinstance(found, dict):
        raise ValueError("--input wants a JSON object")  # noqa: TRY004 - of the command line
    return found


def _read(given: str) -> str:
    if given == "@-":
        return sys.stdin.read()
    return Path(given[1:]).read_text(encoding="utf-8") if given.startswith("@") else given
