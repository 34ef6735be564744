"""That nothing is kept in a process which docs/memory.md does not name, with what bounds it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

import pytest

from tests.architecture.sources import ROOT, Source, product_sources

PAGE: Final = ROOT / "docs" / "memory.md"
ROW: Final = re.compile(r"^\| `(?P<path>[\w/.]+)` \| `(?P<name>\w+)` \| \S.* \| \S.* \|$", re.MULTILINE)
ROOMS: Final = frozenset({"foundation", "heavy_agents", "routing", "forecast", "railway_server.py"})
BUILT_IN: Final = frozenset({"dict", "list", "set", "bytearray"})
MADE_BY: Final = BUILT_IN | frozenset({
    "deque", "defaultdict", "Counter", "OrderedDict", "CookieJar",
    "WeakKeyDictionary", "WeakSet", "WeakValueDictionary",
    "LifoQueue", "PriorityQueue", "Queue", "SimpleQueue",
})  # fmt: skip
CACHES: Final = frozenset({"cache", "lru_cache"})
DISPLAYS: Final = (ast.Dict, ast.DictComp, ast.List, ast.ListComp, ast.Set, ast.SetComp)

# A file and a name in it.
Kept = tuple[str, str]


def test_each_collection_that_outlives_a_call_is_on_the_page() -> None:
    assert sorted(_in_the_code() - _on_the_page()) == []


def test_the_page_names_nothing_that_is_gone() -> None:
    assert sorted(_on_the_page() - _in_the_code()) == []


@pytest.mark.parametrize(
    "text",
    [
        "class A:\n    def __init__(self):\n        self.kept: dict[str, int] = {}",
        "class A:\n    def __init__(self):\n        self.kept = collections.deque[int](maxlen=3)",
        "class A:\n    def __init__(self):\n        self.was, self.kept = self.kept, []",
        "class A:\n    kept: set[int] = field(default_factory=set)",
        "kept = {}",
        "@cache\ndef kept(): ...",
        "@functools.lru_cache(maxsize=9)\ndef kept(): ...",
    ],
)
def test_whatever_way_a_collection_is_made_it_is_seen(text: str) -> None:
    assert set(_names(ast.parse(text))) == {"kept"}


def test_constants_and_what_ends_with_a_call_are_left_out() -> None:
    text = "__all__ = ['a']\nLIMITS = {'a': 1}\ndef f():\n    found = []\n    return found"

    assert list(_names(ast.parse(text))) == []


@cache
def _on_the_page() -> frozenset[Kept]:
    return frozenset((row["path"], row["name"]) for row in ROW.finditer(PAGE.read_text(encoding="utf-8")))


@cache
def _in_the_code() -> frozenset[Kept]:
    return frozenset(
        (str(source.path), name)
        for source in product_sources()
        if source.path.parts[0] in ROOMS and not _is_of_the_child(source)
        for name in _names(source.tree)
    )


def _is_of_the_child(source: Source) -> bool:
    """The program of a computing process, which has memory of its own."""
    return source.module == "foundation.workers.child"


def _names(tree: ast.Module) -> Iterator[str]:
    """What a collection is kept under: attributes, fields, variables of the module, functions' caches."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                yield from _attributes(zip(targets, values, strict=False))
            case ast.Assign(targets=targets, value=value):
                yield from _attributes((target, value) for target in targets)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call() as call) if _is_factory(call):
                yield name
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield from _attributes([(target, value)])
            case ast.FunctionDef(name=name, decorator_list=marks) if any(_last(m) in CACHES for m in marks):
                yield name
            case _:
                pass
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_collection(value):
                yield from _variable(name)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if _is_collection(value):
                yield from _variable(name)
            case _:
                pass


def _attributes(
    assigned: Iterator[tuple[ast.expr, ast.expr]] | list[tuple[ast.expr, ast.expr]],
) -> Iterator[str]:
    for target, value in assigned:
        if isinstance(target, ast.Attribute) and _is_collection(value):
            yield target.attr


def _variable(name: str) -> Iterator[str]:
    """Constants are written in capitals, and `__all__`."""
    if name != "__all__" and not name.strip("_").isupper():
        yield name


def _is_collection(value: ast.expr) -> bool:
    return isinstance(value, DISPLAYS) or (isinstance(value, ast.Call) and _last(value) in MADE_BY)


def _is_factory(call: ast.Call) -> bool:
    made = (each.value for each in call.keywords if each.arg == "default_factory")
    return any(_last(each) in MADE_BY for each in made)


def _last(node: ast.expr) -> str:
    """The last name of what is called: of `collections.deque[int](maxlen=3)`, `deque`."""
    match node:
        case ast.Call(func=inner) | ast.Subscript(value=inner):
            return _last(inner)
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name) if name not in BUILT_IN:
            return name
        case _:
            return ""
