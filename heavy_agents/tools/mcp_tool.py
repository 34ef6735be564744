"""One tool of an MCP server, as the model may call it."""

from __future__ import annotations

import asyncio

from foundation.errors import Json
from heavy_agents.tools.mcp_listing import Listed
from heavy_agents.tools.mcp_session import McpSession
from heavy_agents.tools.schema import SchemaCheck
from heavy_agents.tools.tool import BadArguments, Call, ToolFailed

__all__ = ["McpTool"]


class McpTool:
    def __init__(self, listed: Listed, session: McpSession) -> None:
        self._listed = listed
        self._session = session
        self._check: SchemaCheck | None = None

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
        # Beside the event loop: the schema is a stranger's, and as large as it likes to be.
        if problems := await asyncio.to_thread(self._problems, arguments):
            raise BadArguments("; ".join(problems))
        return await self._session.call(self._listed.tool, arguments, key=call.key)

    def _problems(self, arguments: dict[str, Json]) -> list[str]:
        try:
            self._check = self._check or SchemaCheck(self.parameters)
        except ValueError as error:  # it was journaled by a release that took it
            raise ToolFailed(f"the tool {self.name} cannot be called: its schema cannot be used") from error
        return self._check.problems(arguments)
