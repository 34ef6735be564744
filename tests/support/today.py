"""What of a long list is tried today, so that all of it has its turn after some days.

`SWITCHYARD_SEED` chooses in the day's place.
"""

from __future__ import annotations

import datetime
import os

import pytest

__all__ = ["SEED", "on_day"]

SEED = int(os.environ.get("SWITCHYARD_SEED") or datetime.date.today().toordinal())  # noqa: DTZ011


def on_day(number: int, *, of: int, unless: str) -> pytest.MarkDecorator:
    """Skip a test except on every `of`-th day, or where the environment has the variable `unless`."""
    is_another_day = SEED % of != number and not os.environ.get(unless)
    return pytest.mark.skipif(is_another_day, reason=f"has its turn every {of} days, and with {unless}=1")
