"""The tools of the MCP server, as an official Python client calls them."""

from mcp import Client
from mcp_types import TextContent


async def whoami(client: Client) -> str:
    """Who the server thinks is calling."""
    result = await client.call_tool("whoami", {})
    return " ".join(part.text for part in result.content if isinstance(part, TextContent))
