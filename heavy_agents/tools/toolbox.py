"""The tools of one run: what the model is told of them, and calls that end in an outcome whatever happens."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

import structlog

from foundation.errors import Json, NotConfigured
from heavy_agents.events import tidy
from heavy_agents.tools.arguments import read_arguments
from heavy_agents.tools.outcome import Outcome
from heavy_agents.tools.shorten import shorten
from heavy_agents.tools.tool import BadArguments, Call, Tool, ToolFailed

__all__ = ["Toolbox"]

log = structlog.get_logger(__name__)

NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
MAX_ERROR_CHARS: Final = 4_000
MOST_NAMED: Final = 20


class Toolbox:
    """Calls may run in parallel; what they share is their tools' business."""

    def __init__(
        self, tools: Iterable[Tool], *, timeout_s: float = 60.0, max_result_bytes: int = 64 * 1024
    ) -> None:
        """
        Args:
            timeout_s: for one call.
            max_result_bytes: of a result as JSON; a larger one is visibly cut.

        Raises:
            NotConfigured: a tool's name is taken or no name.
        """
        self._tools = _by_name(tools)
        self._timeout_s = timeout_s
        self._max_result_bytes = max_result_bytes

    @property
    def specs(self) -> list[dict[str, Json]]:
        """The tools as Chat Completions takes them."""
        return [_spec(tool) for tool in self._tools.values()]

    def __contains__(self, name: object) -> bool:
        """Whether a tool has this name."""
        return name in self._tools

    async def call(self, name: str, arguments: str, call: Call) -> Outcome:
        """Call the tool `name`. Raises nothing but CancelledError.

        Args:
            arguments: JSON text as the model wrote it.
        """
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                return await self._call(name, arguments, call)
        except (BadArguments, ToolFailed) as refused:
            return _failed(refused.message)
        # Whatever a tool raises is the end of the call, not of the run.
        except Exception as error:
            if limit.expired() and isinstance(error, TimeoutError):
                return _failed(f"{name} took longer than {self._timeout_s:g} s and was stopped; ask for less")
            log.exception("tool_broke", tool=name)
            return _failed(f"{name} broke down; go on without it or try something else")

    async def _call(self, name: str, arguments: str, call: Call) -> Outcome:
        if (tool := self._tools.get(name)) is None:
            raise BadArguments(self._unknown(name))
        result = tidy(await tool.call(read_arguments(arguments), call))
        return Outcome.succeeded(shorten(result, self._max_result_bytes))

    def _unknown(self, name: str) -> str:
        if not self._tools:
            return "there are no tools here; answer without them"
        # Near ones first: there may be too many to name them all.
        known = dict.fromkeys([*get_close_matches(name[:64], self._tools), *self._tools])
        return f"there is no tool {name[:64]!r}; call one of: {', '.join(list(known)[:MOST_NAMED])}"


def _by_name(tools: Iterable[Tool]) -> dict[str, Tool]:
    found: dict[str, Tool] = {}
    for tool in tools:
        if NAME.match(tool.name) is None:
            raise NotConfigured(f"the tool {tool.name[:80]!r}: a name is 1 to 64 letters, digits, _ and -")
        if tool.name in found:
            raise NotConfigured(f"the tool {tool.name!r} is there twice; leave one out")
        found[tool.name] = tool
    return found


def _spec(tool: Tool) -> dict[str, Json]:
    function: dict[str, Json] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}


def _failed(message: str) -> Outcome:
    tidied = str(tidy(message))
    return Outcome.failed(tidied if len(tidied) <= MAX_ERROR_CHARS else tidied[:MAX_ERROR_CHARS] + "…")
