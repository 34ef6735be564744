"""That a file has one idea: its size, its head, its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.sources import Source, at, our_files, product_sources

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40

SAYS_NOTHING = frozenset({"util", "utils", "helper", "helpers", "common", "manager", "service", "misc", "v2"})


def test_a_file_has_at_most_300_lines() -> None:
    lengths = {str(each.path): each.text.count("\n") for each in product_sources()}

    assert {path: lines for path, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_a_function_has_at_most_40_lines() -> None:
    too_long = [
        f"{at(source, function)} {function.name} has {_lines(function)} lines"
        for source in product_sources()
        for function in _functions(source.tree)
        if _lines(function) > MAX_FUNCTION_LINES
    ]

    assert too_long == []


def test_a_file_says_in_one_line_what_it_is_for() -> None:
    silent = [str(each.path) for each in product_sources() if not _first_line(each).endswith((".", ":", "?"))]

    assert silent == []


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    names = {part for path in our_files() for part in (path.stem, path.parent.name)}

    assert names & SAYS_NOTHING == set()


@pytest.mark.parametrize(
    "source", [each for each in product_sources() if not each.is_face], ids=lambda s: s.module
)
def test_a_module_says_what_it_offers(source: Source) -> None:
    assert source.offers is not None, "it has no __all__"
    assert set(source.offers) <= _defined(source.tree)


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without the docstring, which may be as long as it needs to be."""
    assert function.end_lineno is not None
    has_docstring = ast.get_docstring(function) is not None
    first = function.body[0]
    assert first.end_lineno is not None
    docstring = first.end_lineno - first.lineno + 1 if has_docstring else 0
    return function.end_lineno - function.lineno + 1 - docstring


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _first_line(source: Source) -> str:
    return (ast.get_docstring(source.tree) or "").partition("\n")[0]


def _defined(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
    return names
