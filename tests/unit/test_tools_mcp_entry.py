from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Json, NotConfigured
from foundation.outbound import Outbound
from heavy_agents.tools.mcp import McpServers
from heavy_agents.tools.mcp.entry import read_allowed, read_entry

ENTRY: dict[str, Json] = {"type": "mcp", "name": "weather", "url": "https://mcp.example.com/mcp"}


def servers(*allowed: str) -> McpServers:
    return McpServers(outbound=Outbound(), allowed=allowed)


def test_an_entry_is_read() -> None:
    headers: dict[str, Json] = {"Authorization": "Bearer abc"}

    entry = read_entry({**ENTRY, "headers": headers, "allow": ["today", "today", "week"]})

    assert (entry.name, entry.origin) == ("weather", "https://mcp.example.com:443")
    assert (entry.headers, entry.allow) == (headers, ("today", "week"))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://[::1]:9000/mcp?key=1", "http://[::1]:9000"),
        ("https://MCP.Example.com./a/b", "https://mcp.example.com:443"),
        ("http://mcp.internal?x=1", "http://mcp.internal:80"),
    ],
)
def test_the_origin_of_a_url_has_its_port(url: str, origin: str) -> None:
    assert read_entry({**ENTRY, "url": url}).origin == origin


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "mcp.example.com",
        "ftp://mcp.example.com",
        "https://user:password@mcp.example.com/",
        "https://mcp.example.com@evil.example/",
        "https://mcp.example.com\\@evil.example/",
        "https://mcp.example.com/a b",
        "https://mcp.example.com/a\n",
        "https://mcp.example.com/#part",
        "https://mcp.example.com/ü",
        "https://bücher.example/",
        "https://mcp.example.com:port/",
        "https://mcp.example.com/" + "a" * 2048,
    ],
)
def test_a_url_that_could_be_read_in_two_ways_is_refused(url: Json) -> None:
    with pytest.raises(NotConfigured, match="plain address"):
        read_entry({**ENTRY, "url": url})


@given(st.text(alphabet="abc.:/@\\[]?#%0189 -", max_size=30))
def test_the_judged_origin_is_the_one_that_is_asked(rest: str) -> None:
    from httpx2 import URL, InvalidURL

    try:
        entry = read_entry({**ENTRY, "url": f"https://{rest}"})
        asked = URL(entry.url)
    except (NotConfigured, InvalidURL):
        return

    host = f"[{asked.host}]" if ":" in asked.host else asked.host.removesuffix(".")
    assert entry.origin == f"https://{host}:{asked.port or 443}"


@pytest.mark.parametrize("name", [None, "", "Weather", "a b", "a" * 33, "a__b", "a_", "ä", "a\n"])
def test_a_name_that_could_be_mistaken_is_refused(name: Json) -> None:
    with pytest.raises(NotConfigured, match="the name of an MCP server"):
        read_entry({**ENTRY, "name": name})


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(NotConfigured, match="no field 'header'"):
        read_entry({**ENTRY, "header": {}})


@pytest.mark.parametrize(
    "name", ["Host", "Cookie", "Content-Length", "MCP-Session-Id", "Proxy-Authorization", "accept", "Origin"]
)
def test_a_header_of_the_connection_is_refused(name: str) -> None:
    with pytest.raises(NotConfigured, match=f"the header {name} "):
        read_entry({**ENTRY, "headers": {name: "x"}})


@pytest.mark.parametrize(
    "headers", [{"X-Key": "se\r\ncret"}, {"X-Key": "sécret"}, {"X-Key": ""}, {"X-Key": 5}]
)
def test_a_bad_header_is_refused_without_its_value(headers: Json) -> None:
    with pytest.raises(NotConfigured, match="X-Key") as refused:
        read_entry({**ENTRY, "headers": headers})

    assert "cret" not in refused.value.detail


def test_an_entry_does_not_show_its_secrets() -> None:
    url = "https://mcp.example.com/mcp?key=hidden"

    entry = read_entry({**ENTRY, "url": url, "headers": {"X-Key": "hidden"}})

    assert "hidden" not in repr(entry)


@pytest.mark.parametrize("allow", [[], "today", [1], [""], ["a"] * 65])
def test_an_allow_list_of_another_shape_is_refused(allow: Json) -> None:
    with pytest.raises(NotConfigured, match="allow"):
        read_entry({**ENTRY, "allow": allow})


def test_the_operators_list_is_read() -> None:
    allowed = ["https://mcp.example.com", "http://127.0.0.1:9000/", "*", "http://[::1]:80"]

    assert read_allowed(allowed) == {
        "https://mcp.example.com:443",
        "http://127.0.0.1:9000",
        "*",
        "http://[::1]:80",
    }


@pytest.mark.parametrize("item", ["mcp.example.com", "https://a.example/mcp", "https://*.example", "", "**"])
def test_an_item_that_is_no_origin_is_named(item: str) -> None:
    with pytest.raises(NotConfigured, match="MCP_SERVERS"):
        servers(item)


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("https://mcp.example.com", "https://mcp.example.com/mcp"),
        ("https://mcp.example.com:443", "https://mcp.example.com"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/mcp"),
        ("*", "https://anything.example:8443/mcp"),
    ],
)
def test_a_server_on_the_list_may_be_used(allowed: str, url: str) -> None:
    servers(allowed).check({**ENTRY, "url": url})


@pytest.mark.parametrize(
    ("allowed", "url"),
    [
        ("https://mcp.example.com", "http://mcp.example.com/mcp"),
        ("https://mcp.example.com", "https://mcp.example.com:8443/mcp"),
        ("https://mcp.example.com", "https://mcp.example.com.evil.example/mcp"),
        ("*", "http://anything.example/mcp"),
    ],
)
def test_a_server_that_is_not_on_the_list_is_refused(allowed: str, url: str) -> None:
    with pytest.raises(NotConfigured, match="MCP_SERVERS"):
        servers(allowed).check({**ENTRY, "url": url})


def test_without_a_list_no_server_may_be_used() -> None:
    with pytest.raises(NotConfigured, match="MCP_SERVERS"):
        servers().check(ENTRY)
