"""An endpoint that reads its request itself gets the request, the rooms and the caller, and nothing else."""

from __future__ import annotations

import inspect

import pytest

from routing.app import AREAS
from routing.by_hand import ByHand

NAMED = {"execute", "execute_validated", "agent_runtime"}


def _by_hand() -> list[ByHand]:
    return [route for area in AREAS for route in area.router().routes if isinstance(route, ByHand)]


def test_what_starts_a_run_is_read_by_hand() -> None:
    assert {route.endpoint.__name__ for route in _by_hand()} == NAMED


@pytest.mark.parametrize("route", _by_hand(), ids=lambda route: route.endpoint.__name__)
def test_what_else_it_declares_is_only_described(route: ByHand) -> None:
    parameters = list(inspect.signature(route.endpoint).parameters.values())

    assert [each.name for each in parameters[:2]] == ["request", "rooms"]
    assert all(each.name.startswith("_") and each.default is None for each in parameters[3:])
