"""That what a package offers is there."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.architecture.sources import product_sources

PACKAGES = [source for source in product_sources() if source.is_face]


@pytest.mark.parametrize("package", [each.module for each in PACKAGES])
def test_every_name_a_package_offers_exists(package: str) -> None:
    face = import_module(package)

    missing = [name for name in getattr(face, "__all__", ()) if not hasattr(face, name)]

    assert missing == []


@pytest.mark.parametrize("package", [each.module for each in PACKAGES if "import " in each.text])
def test_a_package_that_brings_names_in_says_which_it_offers(package: str) -> None:
    face = import_module(package)

    assert face.__all__ == sorted(set(face.__all__), key=_as_ruff_sorts)


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest."""
    rank = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return rank, name
