"""What an agent may call, and the promise that a call ends in an outcome whatever happens.

A tool has a name, a description, a schema and a call. `function_tool` makes one of a Python function; `Shelf`
holds those that an agent's row may choose: the time, web pages, forecasts, and the tools of MCP servers.
`Toolbox` is what a run has of them.
"""

from heavy_agents.tools.arguments import shown_arguments
from heavy_agents.tools.function import function_tool
from heavy_agents.tools.mcp import McpServers
from heavy_agents.tools.outcome import Outcome
from heavy_agents.tools.process import Process
from heavy_agents.tools.schema import SchemaCheck
from heavy_agents.tools.shelf import Servers, Shelf
from heavy_agents.tools.tool import BadArguments, Call, Remember, Tool, ToolFailed
from heavy_agents.tools.toolbox import Toolbox

__all__ = [
    "BadArguments",
    "Call",
    "McpServers",
    "Outcome",
    "Process",
    "Remember",
    "SchemaCheck",
    "Servers",
    "Shelf",
    "Tool",
    "ToolFailed",
    "Toolbox",
    "function_tool",
    "shown_arguments",
]
