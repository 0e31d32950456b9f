"""An MCP server over standard input and output. The gateway runs one for each session."""

import os
from datetime import UTC, datetime

from mcp.server.mcpserver import MCPServer

server = MCPServer("clock")


@server.tool()
async def now() -> str:
    """The time, for the user whose session this is."""
    return f"{datetime.now(UTC):%H:%M} UTC, for {os.environ['MINTAGE_USER_EMAIL']}"


if __name__ == "__main__":
    server.run("stdio")
