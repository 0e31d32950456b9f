"""A real MCP server on standard input and output, of the official SDK."""

import asyncio
import os
import sys
import time

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("stdio")
count = 0


@server.tool()
def pid() -> int:
    """The process that answers."""
    return os.getpid()


@server.tool()
def counted() -> int:
    """How often this process was asked."""
    global count  # noqa: PLW0603
    count += 1
    return count


@server.tool()
def environment(name: str) -> str:
    """A variable of the process's environment."""
    return os.environ.get(name, "")


@server.tool()
async def slowly(ctx: Context) -> str:
    """Says how far it is before it is done."""
    await ctx.report_progress(1, 2, "halfway")
    return "done"


@server.tool()
async def forever() -> str:
    """Is never done."""
    await asyncio.Event().wait()
    return "done"


@server.tool()
def noise() -> str:
    """Writes what is no message."""
    sys.stdout.write("this is not JSON\n")
    sys.stdout.flush()
    return "done"


@server.tool()
def crash() -> str:
    """Ends the process while somebody waits."""
    os._exit(3)


if __name__ == "__main__":
    if "--refuse" in sys.argv:
        sys.exit(1)
    server.run("stdio")
    if "--linger" in sys.argv:
        time.sleep(1)
