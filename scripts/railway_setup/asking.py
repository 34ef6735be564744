"""What whoever sets this up is asked: values, secrets without an echo, and once whether to go on."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping, Sequence

from scripts.railway_setup.railway import Stopped
from scripts.railway_setup.services import Source, Variable, generated

__all__ = ["agrees", "is_somebody_there", "values_of"]

SHAPES = {"SUPABASE_URL": ("https://",), "DATABASE_URL": ("postgresql://", "postgres://")}


def is_somebody_there() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def values_of(
    variables: Sequence[Variable], *, environment: Mapping[str, str], may_ask: bool
) -> dict[str, str]:
    """A value for each, from the environment, from whoever is there, or made.

    Raises:
        Stopped: nobody can be asked for one that is needed, or it is wrong.
    """
    found: dict[str, str] = {}
    absent = []
    for variable in variables:
        value = environment.get(variable.name, "").strip()
        if not value and variable.source is Source.MADE:
            value = generated()
        elif not value and may_ask:
            value = _ask(variable)
        if value:
            _judge(variable, value)
            found[variable.name] = value
        elif variable.is_needed:
            absent.append(f"{variable.name}: {variable.wants}")
    if absent:
        raise Stopped("\n  ".join(["set these in the environment, or run this at a terminal:", *absent]))
    return found


def agrees(question: str) -> bool:
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _ask(variable: Variable) -> str:
    """Again until it has the right shape; empty for nothing where that is allowed."""
    optional = "" if variable.is_needed else "; empty for none"
    prompt = f"{variable.name} ({variable.wants}{optional}): "
    while True:
        # Only at a terminal, so that getpass has one too and echoes nothing.
        value = (getpass.getpass(prompt) if variable.is_secret else input(prompt)).strip()
        try:
            if value:
                _judge(variable, value)
        except Stopped as wrong:
            print(wrong)
            continue
        if value or not variable.is_needed:
            return value


def _judge(variable: Variable, value: str) -> None:
    shapes = SHAPES.get(variable.name)
    if shapes is not None and not value.startswith(shapes):
        raise Stopped(f"{variable.name} is wrong: it wants {variable.wants}")
    if not value.isprintable():
        raise Stopped(f"{variable.name} is wrong: it has more than one line, or control characters")
