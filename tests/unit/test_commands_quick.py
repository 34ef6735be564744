"""What a quick start leaves behind: garbage is searched for again, and not in what was loaded."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from commands.quick import keep_what_is_loaded, loading


class Knot:
    """Holds itself, so that only a search frees it."""

    def __init__(self) -> None:
        self.self = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


def test_what_comes_after_the_start_is_collected_and_what_was_loaded_is_left_alone() -> None:
    loading()
    loaded = weakref.ref(Knot())

    keep_what_is_loaded()
    came = weakref.ref(Knot())
    gc.collect()

    assert gc.isenabled()
    assert loaded() is not None
    assert came() is None
