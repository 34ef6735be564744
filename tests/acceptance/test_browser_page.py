"""The page for authors of front ends: its code is the tested page's, and its tables are the server's."""

from __future__ import annotations

import re
from typing import Final

import foundation.errors as tree
from foundation.errors import HeavyError
from routing.socket import farewell, protocol
from tests.acceptance.visitor import PAGE
from tests.support.process import ROOT

GUIDE: Final = (ROOT / "docs" / "browser.md").read_text(encoding="utf-8")
FILE: Final = re.compile(r"<!-- file: (?P<name>[\w.]+) -->\n```js\n(?P<code>.*?)```\n", re.DOTALL)
MAX_LINES: Final = 200
HTML: Final = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(")
# The protocol's own, and what a browser says of a lost network.
OF_OTHERS: Final = {1006, 1009}


def test_the_code_of_the_guide_is_the_code_of_the_page() -> None:
    shown = {found["name"]: found["code"] for found in FILE.finditer(GUIDE)}

    # The page itself is what each app does in its own way.
    assert shown == {
        each.name: each.read_text(encoding="utf-8") for each in PAGE.glob("*.js") if each.stem != "page"
    }


def test_the_guide_names_every_close_code() -> None:
    named = {int(code) for code in re.findall(r"^\| (\d{4}) \|", GUIDE, re.MULTILINE)}
    leaves = [getattr(tree, name) for name in tree.__all__ if name not in {"FieldError", "Json"}]
    statuses = {leaf.status for leaf in leaves if issubclass(leaf, HeavyError)}
    sent = {farewell._code(status) for status in statuses} | {farewell.RESTARTING, protocol.TOO_SLOW}

    assert named == sent | OF_OTHERS


def test_the_files_of_the_page_are_small_and_write_no_html() -> None:
    for file in (*PAGE.iterdir(), *PAGE.with_name("account").iterdir()):
        text = file.read_text(encoding="utf-8")

        assert text.count("\n") <= MAX_LINES, file.name
        assert HTML.findall(text) == [], file.name
        assert max(map(len, text.splitlines())) <= 130, file.name
