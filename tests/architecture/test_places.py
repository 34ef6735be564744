"""That no file knows of one machine: neither its folders nor where it gets packages from."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.architecture.sources import ROOT, our_files, product_sources

MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|tmp|home|Users|mnt)/")

# A registry's name followed by a domain; written so that this file names none itself.
PACKAGE_HOST = re.compile(
    r"\b(?:(?:files|registry|test)\.)?(?:pypi|pythonhosted|npmjs|jfrog)\.\w{2,}", re.IGNORECASE
)

BINARY = frozenset({".png", ".ico", ".gz", ".zip", ".pdf", ".woff2", ".jpg", ".pyc"})


def test_no_product_code_names_a_folder_of_one_machine() -> None:
    found = [
        f"{source.path}:{node.lineno}: {node.value[:80]!r}"
        for source in product_sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and MACHINE_PATH.search(node.value)
    ]

    assert found == []


def test_no_script_names_a_folder_of_one_machine() -> None:
    scripts = [
        path for path in our_files() if path.relative_to(ROOT).parts[0] in {"scripts", ".ci", ".github"}
    ]

    assert [str(path) for path in scripts if MACHINE_PATH.search(_text(path))] == []


def test_no_file_names_a_package_registry() -> None:
    named = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in our_files()
        if path.suffix not in BINARY
        for match in PACKAGE_HOST.finditer(_text(path))
    ]

    assert named == []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
