"""Which MCP servers agents may connect to, and their tools for the time of a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from pydantic import TypeAdapter

from foundation.errors import Json, NotConfigured
from foundation.outbound import Outbound
from heavy_agents.tools.mcp_entry import ANY_PUBLIC, McpEntry, McpLimits, read_allowed, read_entry
from heavy_agents.tools.mcp_listing import Listed, choose
from heavy_agents.tools.mcp_session import McpSession
from heavy_agents.tools.mcp_tool import McpTool
from heavy_agents.tools.tool import Remember, Tool

__all__ = ["McpServers"]

USUAL_LIMITS: Final = McpLimits()


class McpServers:
    """One a process. Nothing is connected and no library loaded before a run's agent has a server."""

    def __init__(
        self, *, outbound: Outbound, allowed: Sequence[str], limits: McpLimits = USUAL_LIMITS
    ) -> None:
        """
        Args:
            allowed: origins the operator names, which may be in a private network; "*" stands for any public
                https server. Empty: none.

        Raises:
            NotConfigured: one of `allowed` is not an origin.
        """
        self._outbound = outbound
        self._allowed = read_allowed(allowed)
        self._limits = limits

    def check(self, entry: Mapping[str, Json]) -> None:
        """Refuse an agent's entry that could never be opened. Pure.

        Raises:
            NotConfigured: with what is wrong and what would be right.
        """
        self._permitted(entry)

    def open(
        self, entry: Mapping[str, Json], *, remember: Remember
    ) -> AbstractAsyncContextManager[Sequence[Tool]]:
        """The server's tools, usable inside the block; leaving it takes at most two seconds.

        Args:
            remember: keeps the list of tools, so that a run that goes on elsewhere has the same.

        Raises:
            NotConfigured: as `check`.
            ToolFailed: the tools cannot be listed, or an allowed one is missing.
        """
        return self._opened(self._permitted(entry), remember=remember)

    @asynccontextmanager
    async def _opened(self, entry: McpEntry, *, remember: Remember) -> AsyncIterator[Sequence[Tool]]:
        session = McpSession(
            entry,
            outbound=self._outbound,
            allow_private=entry.origin in self._allowed,
            limits=self._limits,
        )
        try:
            remembered = await remember(f"tools {entry.name}", lambda: self._list(entry, session))
            yield [McpTool(each, session) for each in _listing().validate_python(remembered)]
        finally:
            await session.close()

    async def _list(self, entry: McpEntry, session: McpSession) -> Json:
        def is_enough(found: list[dict[str, Json]]) -> bool:
            if entry.allow is None:
                return len(found) > self._limits.tools
            return {str(each["name"]) for each in found}.issuperset(entry.allow)

        tools = await session.tools(is_enough)
        # Beside the event loop: strangers' schemas are checked, by a library that is loaded for it.
        chosen = await asyncio.to_thread(choose, tools, entry, limits=self._limits)
        return [each.model_dump() for each in chosen]

    def _permitted(self, entry: Mapping[str, Json]) -> McpEntry:
        parsed = read_entry(entry)
        is_public_https = parsed.origin.startswith("https://") and ANY_PUBLIC in self._allowed
        if parsed.origin not in self._allowed and not is_public_https:
            raise NotConfigured(
                f"the MCP server {parsed.name} at {parsed.origin} is not one that agents here may use; "
                "the operator can add it to MCP_SERVERS"
            )
        return parsed


def _listing() -> TypeAdapter[list[Listed]]:
    return TypeAdapter(list[Listed])
