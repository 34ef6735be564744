"""One tool of an MCP server, as the model may call it."""

from __future__ import annotations

import asyncio
from typing import Final

from foundation.errors import Json
from heavy_agents.tools.mcp.listing import Listed
from heavy_agents.tools.mcp.session import McpSession
from heavy_agents.tools.schema import SchemaCheck
from heavy_agents.tools.tool import BadArguments, Call, ToolFailed

__all__ = ["McpTool"]

# A schema takes half a second to read and half a second to check; the rest is for waiting for a thread.
CHECK_S: Final = 5.0


class McpTool:
    def __init__(self, listed: Listed, session: McpSession) -> None:
        self._listed = listed
        self._session = session
        self._check: SchemaCheck | None = None
        self._reading = asyncio.Lock()

    @property
    def name(self) -> str:
        return self._listed.name

    @property
    def description(self) -> str:
        return self._listed.description

    @property
    def parameters(self) -> dict[str, Json]:
        return self._listed.parameters

    async def call(self, arguments: dict[str, Json], call: Call) -> Json:
        try:
            async with asyncio.timeout(CHECK_S):
                # Both beside the event loop: the schema is a stranger's.
                problems = await asyncio.to_thread((await self._schema()).problems, arguments)
        except TimeoutError as error:
            raise ToolFailed(
                f"the tool {self.name} was not called: checking the arguments took too long"
            ) from error
        if problems:
            raise BadArguments("; ".join(problems))
        return await self._session.call(self._listed.tool, arguments, key=call.key)

    async def _schema(self) -> SchemaCheck:
        """Read at the first call, and once."""
        async with self._reading:
            if self._check is None:
                try:
                    self._check = await asyncio.to_thread(SchemaCheck, self.parameters)
                except ValueError as error:
                    raise ToolFailed(
                        f"the tool {self.name} cannot be called: its schema cannot be used"
                    ) from error
            return self._check
