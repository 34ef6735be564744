"""Which MCP servers agents may connect to, and their tools for the time of a run.

The servers of a run are listed at the same time and left at the same time, so that the slowest one counts and
not their sum.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import chain
from typing import Final, TypeVar

from pydantic import TypeAdapter

from foundation.errors import Json, NotConfigured
from foundation.outbound import Outbound
from heavy_agents.tools.mcp.entry import ANY_PUBLIC, McpEntry, McpLimits, read_allowed, read_entry
from heavy_agents.tools.mcp.listing import Listed, choose
from heavy_agents.tools.mcp.session import McpSession
from heavy_agents.tools.mcp.tool import McpTool
from heavy_agents.tools.tool import Remember, Tool, ToolFailed

__all__ = ["McpServers"]

T = TypeVar("T")

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
        self, entries: Sequence[Mapping[str, Json]], *, remember: Remember
    ) -> AbstractAsyncContextManager[Sequence[Tool]]:
        """The servers' tools, usable inside the block; leaving it takes at most one second.

        Args:
            entries: each under a name of its own.
            remember: keeps the lists of tools, so that a run that goes on elsewhere has the same.

        Raises:
            NotConfigured: as `check`.
            ToolFailed: the tools of one cannot be listed, or an allowed one is missing.
        """
        return self._opened([self._permitted(entry) for entry in entries], remember=remember)

    @asynccontextmanager
    async def _opened(
        self, entries: Sequence[McpEntry], *, remember: Remember
    ) -> AsyncIterator[Sequence[Tool]]:
        sessions = [self._session(entry) for entry in entries]
        try:
            opening = [self._tools(*each, remember=remember) for each in zip(entries, sessions, strict=True)]
            yield list(chain.from_iterable(await _together(opening)))
        finally:
            await asyncio.gather(*(session.close() for session in sessions))

    def _session(self, entry: McpEntry) -> McpSession:
        is_named = entry.origin in self._allowed
        return McpSession(entry, outbound=self._outbound, allow_private=is_named, limits=self._limits)

    async def _tools(self, entry: McpEntry, session: McpSession, *, remember: Remember) -> list[Tool]:
        remembered = await remember(f"tools {entry.name}", lambda: self._list(entry, session))
        return [McpTool(each, session) for each in _listing().validate_python(remembered)]

    async def _list(self, entry: McpEntry, session: McpSession) -> Json:
        def is_enough(found: list[dict[str, Json]]) -> bool:
            if entry.allow is None:
                return len(found) > self._limits.tools
            return {str(each["name"]) for each in found}.issuperset(entry.allow)

        # Only of the server's part: remembering may have to wait for the database.
        try:
            async with asyncio.timeout(self._limits.listing_s):
                tools = await session.tools(is_enough)
                chosen = await asyncio.to_thread(choose, tools, entry, limits=self._limits)
        except TimeoutError as error:
            raise ToolFailed(
                f"the MCP server {entry.name} did not list its tools within {self._limits.listing_s:g} s"
            ) from error
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


async def _together(works: Sequence[Coroutine[None, None, T]]) -> list[T]:
    """All results in order; the first failure is raised, and what still goes on is ended."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _listing() -> TypeAdapter[list[Listed]]:
    return TypeAdapter(list[Listed])
