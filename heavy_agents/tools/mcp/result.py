"""What a model gets to read of an MCP server's answer to a call.

Pure. Structured content where there is any, else the text; what is neither becomes a line that says what it
was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from foundation.errors import Json
from heavy_agents.tools.mcp.text import plain
from heavy_agents.tools.tool import ToolFailed

__all__ = ["read_result"]

MAX_ERROR_CHARS: Final = 2000
MAX_LABEL_CHARS: Final = 500


def read_result(answer: Mapping[str, Json], *, server: str, max_bytes: int) -> Json:
    """The result, or the server's own words on why there is none.

    Args:
        answer: a `CallToolResult` by its wire names.

    Raises:
        ToolFailed: the server says it is an error, or it is larger than `max_bytes` as JSON.
    """
    text = "\n".join(_block(each) for each in _items(answer.get("content")))
    if answer.get("isError") is True:
        said = plain(text, max_chars=MAX_ERROR_CHARS)
        raise ToolFailed(said or f"the MCP server {server} says that the call failed, and not why")
    structured = answer.get("structuredContent")
    result = text if structured is None else structured
    if _size_bytes(result, server=server) > max_bytes:
        raise ToolFailed(
            f"the result of the MCP server {server} is larger than {max_bytes // 1024} kB; ask for less of it"
        )
    return result


def _size_bytes(result: Json, *, server: str) -> int:
    try:
        return len(orjson.dumps(result))
    except TypeError as error:  # lone surrogates, integers above 64 bits
        raise ToolFailed(f"the MCP server {server} sent a result that is not plain JSON") from error


def _items(content: Json) -> list[dict[str, Json]]:
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []


def _block(block: Mapping[str, Json]) -> str:
    match block:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": "image" | "audio" as kind, "data": str(encoded)}:
            return f"[{kind}: {_label(block.get('mimeType'))}, {_decoded_bytes(encoded)} bytes, not shown]"
        case {"type": "resource_link", "uri": uri}:
            return f"[resource: {_label(uri)}]"
        case {"type": "resource", "resource": dict(resource)}:
            return _resource(resource)
        case _:
            return f"[{_label(block.get('type'))}: not shown]"


def _resource(resource: Mapping[str, Json]) -> str:
    if isinstance(text := resource.get("text"), str):
        return text
    encoded = resource.get("blob")
    size_bytes = _decoded_bytes(encoded) if isinstance(encoded, str) else 0
    kind = _label(resource.get("mimeType"))
    return f"[resource: {_label(resource.get('uri'))}, {kind}, {size_bytes} bytes, not shown]"


def _label(value: Json) -> str:
    return (
        " ".join(plain(value, max_chars=MAX_LABEL_CHARS).split())
        if isinstance(value, str)
        else "unknown type"
    )


def _decoded_bytes(encoded: str) -> int:
    """The size behind base64, without unpacking it."""
    return len(encoded) * 3 // 4 - encoded[-2:].count("=")
