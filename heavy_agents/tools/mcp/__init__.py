"""Tools that MCP servers offer, for the time of a run, however the servers behave.

`McpServers` is asked with the entries of an agent's row. Each server gets a session, opened by its first call
and ended with the run; what it lists is chosen once and journaled. The protocol's library, which is called
`mcp` too, is loaded at the first connection.
"""

from heavy_agents.tools.mcp.entry import McpLimits
from heavy_agents.tools.mcp.servers import McpServers

__all__ = ["McpLimits", "McpServers"]
