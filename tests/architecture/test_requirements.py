"""That the pins are what pyproject.toml asks for, complete, and tied to what was tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.sources import ROOT, pyproject

RUNTIME, DEV, NPM = (ROOT / f"requirements{what}.txt" for what in ("", "-dev", "-npm"))
FILES = pytest.mark.parametrize("file", [RUNTIME, DEV, NPM], ids=lambda file: file.name)

# A pin is a line `name==1.2 ; marker \` and its hashes below, indented.
PIN = re.compile(
    r"^(?P<pin>[A-Za-z0-9][^\n]*?) \\\n(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)


def test_what_the_product_needs_is_pinned_within_its_ranges() -> None:
    assert _unmet(pyproject()["project"]["dependencies"], _pins(RUNTIME)) == []


@pytest.mark.parametrize(("group", "file"), [("dev", DEV), ("npm", NPM)])
def test_what_the_tests_need_is_pinned_within_its_ranges(group: str, file: Path) -> None:
    assert _unmet(pyproject()["dependency-groups"][group], _pins(file)) == []


def test_the_tools_of_the_tests_change_no_version_of_the_product() -> None:
    product = {(pin.name, str(pin.marker)): str(pin.specifier) for pin in _pins(RUNTIME)}

    other = [
        str(pin)
        for pin in _pins(DEV)
        if product.get((pin.name, str(pin.marker)), str(pin.specifier)) != str(pin.specifier)
    ]

    assert other == []


@FILES
def test_every_pin_is_exact_and_has_hashes(file: Path) -> None:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if re.match(r"[^\s#]", line)]

    assert len(lines) == len(_pins(file)) > 0
    assert [str(pin) for pin in _pins(file) if not re.fullmatch(r"==[^*,]+", str(pin.specifier))] == []


@FILES
def test_the_pins_name_no_place_to_get_them_from(file: Path) -> None:
    text = file.read_text(encoding="utf-8")

    assert re.findall(r"\w+://|--(?:find-links|extra-index-url|index-url|trusted-host)|@ ", text) == []


def _pins(file: Path) -> list[Requirement]:
    return [Requirement(match["pin"]) for match in PIN.finditer(file.read_text(encoding="utf-8"))]


def _unmet(wanted: list[str], pins: list[Requirement]) -> list[str]:
    """The requirements that not every pin of their name satisfies, or that have none."""
    versions: dict[str, list[str]] = {}
    for pin in pins:
        versions.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier).removeprefix("=="))
    return [
        text
        for text in wanted
        if not (found := versions.get(canonicalize_name(Requirement(text).name)))
        or not all(Requirement(text).specifier.contains(version) for version in found)
    ]
