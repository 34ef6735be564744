from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Json
from heavy_agents.tools.mcp.entry import McpEntry, McpLimits
from heavy_agents.tools.mcp.listing import Listed, choose
from heavy_agents.tools.tool import ToolFailed
from tests.architecture.sources import ROOT

LIMITS = McpLimits()


def entry(*allow: str, name: str = "srv") -> McpEntry:
    return McpEntry(name=name, url="", origin="", headers={}, allow=allow or None)


def tool(name: str, **members: Json) -> dict[str, Json]:
    return {"name": name, "inputSchema": {"type": "object"}, **members}


def names(*tools: str, server: str = "srv") -> list[str]:
    return [each.name for each in choose(map(tool, tools), entry(name=server), limits=LIMITS)]


def test_a_name_says_the_server_and_the_tool() -> None:
    assert names("today", "week.next", "two\nlines") == ["srv__today", "srv__week_next", "srv__two_lines"]


def test_names_that_become_one_are_kept_apart() -> None:
    plain, marked = names("a.b", "a b")

    assert plain == "srv__a_b"
    assert re.fullmatch(r"srv__a_b_[0-9a-f]{8}", marked)


@given(
    st.lists(st.text(max_size=80), max_size=20, unique=True),
    st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True),
)
def test_every_tool_has_a_name_of_its_own_that_a_model_may_use(tools: list[str], server: str) -> None:
    given = names(*tools, server=server)

    assert len(set(given)) == len(tools)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in given)
    assert all(name.startswith(f"{server}__") for name in given)


def test_the_same_list_gives_the_same_names() -> None:
    tools = ["a.b", "a b", "x" * 70, "x" * 71]

    assert names(*tools) == names(*tools)


def test_a_long_description_is_cut() -> None:
    (listed,) = choose([tool("a", description="é" * 2000)], entry(), limits=LIMITS)

    assert listed.description == "é" * 1023 + "…"


def test_the_title_stands_in_for_a_description() -> None:
    assert [
        each.description
        for each in choose(
            [tool("a", title="Day"), tool("b"), tool("c", description="")], entry(), limits=LIMITS
        )
    ] == ["Day", "", ""]


def test_an_allowed_tool_beyond_the_first_64_is_there() -> None:
    (listed,) = choose([tool(f"t{n}") for n in range(100)], entry("t99"), limits=LIMITS)

    assert listed.tool == "t99"


def test_an_allowed_tool_that_is_missing_fails() -> None:
    with pytest.raises(ToolFailed, match="has no tool 'b'"):
        choose([tool("a")], entry("a", "b"), limits=LIMITS)


def test_schemas_that_do_not_fit_together_leave_tools_out() -> None:
    large: Json = {"type": "object", "description": "x" * 60_000}
    tools = [tool(f"large{n}", inputSchema=large) for n in range(6)]

    chosen = choose([*tools, tool("small")], entry(), limits=LIMITS)

    assert [each.tool for each in chosen] == ["large0", "large1", "large2", "large3", "small"]


def test_schemas_are_chosen_without_the_library_that_judges_them() -> None:
    code = (
        "import sys; from heavy_agents.tools.mcp.entry import McpEntry, McpLimits;"
        "from heavy_agents.tools.mcp.listing import choose;"
        "made = McpEntry('srv', '', '', {}, None); schema = {'type': 'object', 'properties': {'a': {}}};"
        "assert choose([{'name': 'a', 'inputSchema': schema}], made, limits=McpLimits());"
        "print('jsonschema' in sys.modules)"
    )

    assert printed_by(code) == "False"


def test_what_is_journaled_reads_back_the_same() -> None:
    (listed,) = choose([tool("a b", description="d")], entry(), limits=LIMITS)

    assert Listed.model_validate(listed.model_dump(mode="json")) == listed


def test_the_protocols_library_is_not_loaded_with_the_tools() -> None:
    code = "import sys, heavy_agents.tools.mcp; print({'mcp', 'httpx2'} & set(sys.modules))"

    assert printed_by(code) == "set()"


def printed_by(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()
