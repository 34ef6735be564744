"""Which of an MCP server's tools the model is shown, and under which names.

Pure. What comes out is journaled, so that after a crash the model has the same tools under the same names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Final

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, JsonValue

from foundation.errors import Json
from heavy_agents.tools.mcp_entry import McpEntry, McpLimits
from heavy_agents.tools.mcp_text import plain
from heavy_agents.tools.schema import SchemaCheck
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
    offered = {str(tool["name"]): tool for tool in tools}
    if missing := [name for name in entry.allow or () if name not in offered]:
        raise ToolFailed(
            f"the MCP server {entry.name} has no tool {plain(missing[0], max_chars=100)!r}; "
            "change `allow` of the agent"
        )
    wanted = [tool for name, tool in offered.items() if entry.allow is None or name in entry.allow]
    chosen: dict[str, Listed] = {}
    for tool in wanted[: limits.tools]:
        parameters = tool.get("inputSchema")
        if (problem := _problem(parameters, max_bytes=limits.schema_bytes)) is not None:
            log.warning("mcp_tool_left_out", server=entry.name, tool=str(tool["name"])[:100], reason=problem)
        elif isinstance(parameters, dict):
            name = _free_name(entry.name, str(tool["name"]), taken=chosen)
            chosen[name] = Listed(
                name=name, tool=str(tool["name"]), description=_description(tool), parameters=parameters
            )
    if len(wanted) > limits.tools:
        log.warning("mcp_tools_left_out", server=entry.name, kept=limits.tools)
    return list(chosen.values())


def _problem(schema: Json, *, max_bytes: int) -> str | None:
    """Why a schema cannot be used; None when it can."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return "its schema does not describe an object"
    try:
        if len(orjson.dumps(schema)) > max_bytes:
            return f"its schema is larger than {max_bytes // 1024} kB"
        SchemaCheck(schema)
    except (TypeError, ValueError) as error:
        return plain(str(error), max_chars=200)
    return None


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
