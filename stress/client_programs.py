"""The clients of `stress.clients`: where each comes from, and the commands that log it in."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mintage/clients"
SCRIPTS: Final = Path(__file__).parent / "client_scripts"

# Metadata documents that nobody can fetch from here. Claude Code's has its published content.
# Codex's has what its manual says of it: the loopback address without a port.
DOCUMENTS: Final = {
    "https://claude.ai/oauth/claude-code-client-metadata": {
        "client_name": "Claude Code",
        "client_uri": "https://claude.ai",
        "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    },
    "https://chatgpt.com/oauth/codex/client.json": {
        "client_name": "Codex",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    },
}

_OPENCODE: Final = '{"mcp": {"notes": {"type": "remote", "url": "URL", "enabled": true}}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """*commands* are run in turn; what the last one prints holds *connected*.

    In a command ``URL`` is the server, ``AT`` the folder that the client was installed in, and
    ``BIN`` that of its programs. *files* are written into the home before.
    """

    name: str
    package: str
    version: str
    commands: tuple[str, ...]
    connected: str
    registry: str = "npm"
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def where(self) -> Path:
        return CACHE / re.sub(r"\W+", "-", f"{self.package}-{self.version}").strip("-")

    def filled(self, command: str, url: str) -> list[str]:
        programs = "node_modules/.bin" if self.registry == "npm" else "bin"
        words = {"URL": url, "AT": str(self.where), "BIN": str(self.where / programs)}
        return re.sub(r"\b(URL|AT|BIN)\b", lambda word: words[word[0]], command).split()


def install(client: Client) -> None:
    """Put the programs of *client* where they belong, from its registry the first time."""
    where, wanted = client.where, client.package
    if not (where / ".installed").exists():
        where.mkdir(parents=True, exist_ok=True)
        if client.registry == "npm":
            (where / "package.json").write_text('{"private": true}')
            package = f"{wanted}@{client.version}"
            command = ["npm", "install", "--no-fund", "--no-audit", package]
        else:
            _run([sys.executable, "-m", "venv", str(where)], where)
            command = ["bin/python", "-m", "pip", "install", f"{wanted}=={client.version}"]
        _run(command, where)
        (where / ".installed").touch()
    for script in SCRIPTS.glob("[a-z]*.*"):  # Node looks for packages beside the script
        shutil.copy(script, where)


def _run(command: list[str], where: Path) -> None:
    subprocess.run(command, cwd=where, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


CLIENTS: Final = (
    Client(
        name="Claude Code",
        package="@anthropic-ai/claude-code",
        version="2.1.332",
        commands=(
            "BIN/claude mcp add --transport http notes URL",
            "BIN/claude mcp login notes",
            "BIN/claude mcp list",
        ),
        connected=r"notes: .*Connected",
    ),
    Client(
        name="Codex CLI",
        package="@openai/codex",
        version="0.171.0",
        commands=("BIN/codex mcp add notes --url URL", "BIN/codex mcp list"),
        connected=r"notes .*OAuth",
    ),
    Client(
        name="opencode",
        package="opencode-ai",
        version="1.18.33",
        commands=("BIN/opencode mcp auth notes", "BIN/opencode mcp list"),
        connected=r"notes.*connected",
        files={".config/opencode/opencode.json": _OPENCODE},
    ),
    Client(
        name="mcporter",
        package="mcporter",
        version="0.12.3",
        commands=(
            "BIN/mcporter auth --http-url URL --allow-http --name notes",
            "BIN/mcporter list --http-url URL --allow-http --name notes",
        ),
        connected=r"whoami",
    ),
    Client(
        name="mcp-remote",
        package="mcp-remote",
        version="0.15.1",
        commands=("BIN/mcp-remote-client URL",),
        connected=r"whoami",
    ),
    Client(
        name="MCP Inspector CLI",
        package="@modelcontextprotocol/inspector",
        version="2.12.0",
        commands=("BIN/mcp-inspector --cli URL --method tools/list",),
        connected=r"whoami",
    ),
    Client(
        name="TypeScript SDK 1",
        package="@modelcontextprotocol/sdk",
        version="1.32.2",
        commands=("node AT/typescript.mjs @modelcontextprotocol/sdk URL",),
        connected=r"tools: .*whoami",
    ),
    Client(
        name="TypeScript SDK 2",
        package="@modelcontextprotocol/client",
        version="2.4.0",
        commands=("node AT/typescript.mjs @modelcontextprotocol/client URL",),
        connected=r"tools: .*whoami",
    ),
    Client(
        name="Python SDK",
        package="mcp",
        version="2.3.0",
        registry="PyPI",
        commands=("BIN/python AT/python_sdk.py URL",),
        connected=r"tools: .*whoami",
    ),
    Client(
        name="FastMCP's client",
        package="fastmcp",
        version="4.2.3",
        registry="PyPI",
        commands=("BIN/python AT/fastmcp_client.py URL",),
        connected=r"tools: .*whoami",
    ),
)
