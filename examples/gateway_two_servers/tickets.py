"""An MCP server over HTTP. It trusts the gateway's headers, so only the gateway may reach it."""

import os

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("tickets")


@server.tool()
async def open_ticket(title: str, ctx: Context) -> str:
    """Open a ticket in the user's name."""
    return f"{title!r}, opened by {(ctx.headers or {}).get('x-forwarded-email')}"


if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=int(os.environ["TICKETS_PORT"]))
