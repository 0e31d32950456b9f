"""A FastMCP server with its own login: notes that belong to their user."""

import os
from collections import defaultdict

from fastmcp import FastMCP

from mintage.integrations.fastmcp import MintageAuth, current_user

auth = MintageAuth.from_file("mintage.toml")
mcp = FastMCP("notes", auth=auth)
notes: dict[str, list[str]] = defaultdict(list)


@mcp.tool
async def whoami() -> str:
    """The user's e-mail address."""
    return str(current_user().claims.get("email"))


@mcp.tool
async def add_note(text: str) -> int:
    """Keep a note of this user. Returns how many there are."""
    mine = notes[current_user().subject]
    mine.append(text)
    return len(mine)


if __name__ == "__main__":
    mcp.run(transport="http", host="127.0.0.1", port=int(os.environ["PORT"]))
