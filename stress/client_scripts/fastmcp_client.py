"""FastMCP's client with its own login: URL of the server."""

import asyncio
import sys

from fastmcp import Client


async def main(url: str) -> None:
    async with Client(url, auth="oauth") as client:
        print("tools:", *[tool.name for tool in await client.list_tools()])


asyncio.run(main(sys.argv[1]))
