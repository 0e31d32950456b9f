"""MCP servers on real sockets, and their tools as an official Python client calls them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp_types import TextContent

from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving


async def whoami(client: Client) -> str:
    """Who the server thinks is calling."""
    result = await client.call_tool("whoami", {})
    return " ".join(part.text for part in result.content if isinstance(part, TextContent))


@asynccontextmanager
async def listening(server: MCPServer) -> AsyncIterator[str]:
    """*server* on a free port, and its URL."""
    port = free_port()
    app = server.streamable_http_app(host="127.0.0.1")
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_config=None, timeout_graceful_shutdown=1
    )
    async with serving(uvicorn.Server(config)):
        yield f"http://127.0.0.1:{port}/mcp"
