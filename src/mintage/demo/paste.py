"""What to paste into each MCP client, so that it uses a server at *url*. Pure."""

import json
import shlex
from urllib.parse import urlencode


def lines_to_paste(url: str, name: str) -> list[tuple[str, str]]:
    """(client, line) pairs; the server is called *name* in all of them."""
    entry = json.dumps({"name": name, "type": "http", "url": url})
    cursor = json.dumps({"mcpServers": {name: {"url": url}}})
    inspector = urlencode({"transport": "streamable-http", "serverUrl": url})
    return [
        ("Claude Code", f"claude mcp add --transport http {name} {shlex.quote(url)}"),
        ("VS Code", f"code --add-mcp {shlex.quote(entry)}"),
        ("Cursor, in ~/.cursor/mcp.json", cursor),
        (
            "Codex",
            f"codex mcp add {name} --url {shlex.quote(url)} && codex mcp login {name}",
        ),
        (
            "MCP Inspector: npx @modelcontextprotocol/inspector, then open",
            f"http://localhost:6274/?{inspector}",
        ),
    ]
