"""Which of an MCP server's tools the model is shown, and under which names.

Pure. What comes out is journaled, so that after a crash the model has the same tools under the same names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, JsonValue

from foundation.errors import Json
from heavy_agents.tools.mcp.entry import McpEntry, McpLimits
from heavy_agents.tools.mcp.text import plain
from heavy_agents.tools.schema import check_bounds
from heavy_agents.tools.shorten import size_bytes
from heavy_agents.tools.tool import ToolFailed

__all__ = ["Listed", "choose"]

MAX_NAME_CHARS: Final = 64
MAX_DESCRIPTION_CHARS: Final = 1024
HASH_CHARS: Final = 8
NOT_FOR_NAMES: Final = re.compile(r"[^a-zA-Z0-9_-]")

log = structlog.get_logger(__name__)


class Listed(BaseModel):
    """One tool as it is journaled: `name` is the model's, `tool` the server's own."""

    model_config = ConfigDict(frozen=True, strict=True)

    name: str
    tool: str
    description: str
    parameters: dict[str, JsonValue]


def choose(tools: Iterable[Mapping[str, Json]], entry: McpEntry, *, limits: McpLimits) -> list[Listed]:
    """The tools an agent gets, in the server's order; one that cannot be used is left out and logged.

    Args:
        tools: by their wire names, as the server lists them.

    Raises:
        ToolFailed: the agent is allowed a tool that the server does not have.
    """
    wanted = _wanted(tools, entry)
    chosen: dict[str, Listed] = {}
    left_bytes = limits.schemas_bytes
    for tool in wanted[: limits.tools]:
        theirs = str(tool["name"])
        try:
            parameters = _parameters(tool, limits=limits, left_bytes=left_bytes)
        except ValueError as error:
            reason = plain(str(error), max_chars=200)
            log.warning("mcp_tool_left_out", server=entry.name, tool=theirs[:100], reason=reason)
            continue
        left_bytes -= size_bytes(parameters)
        name = _free_name(entry.name, theirs, taken=chosen)
        chosen[name] = Listed(name=name, tool=theirs, description=_description(tool), parameters=parameters)
    if len(wanted) > limits.tools:
        log.warning("mcp_tools_left_out", server=entry.name, kept=limits.tools)
    return list(chosen.values())


def _wanted(tools: Iterable[Mapping[str, Json]], entry: McpEntry) -> list[Mapping[str, Json]]:
    offered = {str(tool["name"]): tool for tool in tools}
    if missing := [name for name in entry.allow or () if name not in offered]:
        raise ToolFailed(
            f"the MCP server {entry.name} has no tool {plain(missing[0], max_chars=100)!r}; "
            "change `allow` of the agent"
        )
    return [tool for name, tool in offered.items() if entry.allow is None or name in entry.allow]


def _parameters(tool: Mapping[str, Json], *, limits: McpLimits, left_bytes: int) -> dict[str, Json]:
    """The tool's schema, as far as it can be judged quickly; the rest is judged when it is called.

    Raises:
        ValueError: with why it cannot be used.
    """
    schema = tool.get("inputSchema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise ValueError("its schema does not describe an object")
    check_bounds(schema)
    if (size := size_bytes(schema)) > limits.schema_bytes:
        raise ValueError(f"its schema is larger than {limits.schema_bytes // 1024} kB")
    if size > left_bytes:
        raise ValueError(f"the server's schemas are larger than {limits.schemas_bytes // 1024} kB together")
    return schema


def _free_name(server: str, tool: str, *, taken: Mapping[str, object]) -> str:
    """Readable where it can be; a hash of the server's own name makes one that is cut or taken its own."""
    name = f"{server}__{NOT_FOR_NAMES.sub('_', tool) or '_'}"
    marked = name if len(name) <= MAX_NAME_CHARS else _marked(name, tool)
    while marked in taken:
        marked = _marked(name, marked + tool)
    return marked


def _marked(name: str, text: str) -> str:
    mark = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:HASH_CHARS]
    return f"{name[: MAX_NAME_CHARS - HASH_CHARS - 1]}_{mark}"


def _description(tool: Mapping[str, Json]) -> str:
    said = tool.get("description") or tool.get("title")
    return plain(said, max_chars=MAX_DESCRIPTION_CHARS) if isinstance(said, str) else ""
