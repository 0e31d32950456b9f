"""An ordinary MCP server without any login: it reads the user from the headers of a request.

Run as ``python -m mintage.demo.backend PORT USERINFO_URL``.
"""

import sys

import httpx2
from mcp.server.mcpserver import Context, MCPServer


def build(userinfo_url: str) -> MCPServer:
    server = MCPServer("demo", log_level="WARNING")

    @server.tool()
    async def whoami(ctx: Context) -> str:
        """The user, as the gateway names them."""
        headers = ctx.headers or {}
        return headers.get("x-forwarded-user", "nobody")

    @server.tool()
    async def profile(ctx: Context) -> str:
        """What the login provider knows about the user, requested with the user's own token."""
        authorization = (ctx.headers or {}).get("authorization", "")
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.get(userinfo_url, headers={"authorization": authorization})
        return f"{answer.status_code} {answer.text.strip()}"

    return server


if __name__ == "__main__":
    build(sys.argv[2]).run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
