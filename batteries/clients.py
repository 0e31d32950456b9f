"""Real clients, as their users install them, log in to the gateway and to ``MintageAuth``.

::

    python -m batteries.clients [CLIENT…]

Each client comes from its registry into a cache (``$XDG_CACHE_HOME/mintage/clients``). Then the
battery starts itself again in a network namespace with loopback only, with a program in place of
``xdg-open`` that does what a person would do in a browser. Default settings on both sides. It
prints the table of docs/client-quirks.md, and ends with code 1 where a client can't log in.

It takes Linux, ``unshare`` and ``ip``, Node and npm.
"""

import argparse
import asyncio
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
import uvicorn
from fastmcp import FastMCP

from mintage.app import Mintage
from mintage.clients.fetching import Fetched, GuardedFetch
from mintage.config import Config, parse
from mintage.demo.backend import build
from mintage.errors import FetchFailed
from mintage.integrations.fastmcp import MintageAuth
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving

ROOT: Final = Path(__file__).parents[1]
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mintage/clients"
_INSIDE: Final = "MINTAGE_CLIENTS_INSIDE"
_SECONDS: Final = 45  # for one command of one client
_SECRET: Final = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"  # noqa: S105

# What https://claude.ai publishes, which nobody can reach from here.
_DOCUMENT_URL: Final = "https://claude.ai/oauth/claude-code-client-metadata"
_DOCUMENT: Final = {
    "client_id": _DOCUMENT_URL,
    "client_name": "Claude Code",
    "client_uri": "https://claude.ai",
    "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}

# In place of a desktop's xdg-open: goes to the URL, allows it, and follows to the client.
_BROWSER: Final = """\
#!{python}
import asyncio, sys
from mintage.testing.browser import Browser
from mintage.testing.oauth_client import approve
url = next(word for word in sys.argv[1:] if word.startswith("http"))
with open({seen!r}, "a") as seen:
    print(url, file=seen)
async def main():
    async with Browser() as browser:
        await approve(browser, url)
asyncio.run(main())
"""

_FASTMCP: Final = """
import asyncio, sys
from fastmcp import Client
async def main():
    async with Client(sys.argv[1], auth="oauth") as client:
        print("tools:", [tool.name for tool in await client.list_tools()])
asyncio.run(main())
"""
_OPENCODE: Final = '{"mcp": {"notes": {"type": "remote", "url": "URL", "enabled": true}}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """*commands* are run in turn; what they print holds *connected* at the end.

    ``URL`` is the server, ``BIN`` the folder of the client's programs. *files* are written into
    the home before. *package*: at npm; without one it is a program of this environment.
    """

    name: str
    commands: tuple[str, ...]
    connected: str
    package: str | None = None
    version: str = "of this environment"
    files: Mapping[str, str] = field(default_factory=dict)


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
        name="FastMCP's client",
        commands=("PYTHON client.py URL",),
        connected=r"tools: .*whoami",
        files={"client.py": _FASTMCP},
    ),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """*way*: how the client made itself known. *said*: what its commands printed."""

    connected: bool
    way: str
    said: str

    def __str__(self) -> str:
        return "logs in" if self.connected else "does not log in"


class _Fetch(GuardedFetch):
    """Answers for the one document that a client here has; there is no internet."""

    async def __call__(self, url: str, *, limit: int) -> Fetched:
        document = msgspec.json.encode(_DOCUMENT)
        if url != _DOCUMENT_URL or len(document) > limit:
            raise FetchFailed("there is no network here")
        return Fetched(document, "max-age=300")


def install(client: Client) -> Path | None:
    """Where the programs of *client* are, from its registry the first time."""
    if client.package is None:
        return None
    where = CACHE / re.sub(r"\W+", "-", f"{client.package}-{client.version}").strip("-")
    if not (where / ".installed").exists():
        where.mkdir(parents=True, exist_ok=True)
        (where / "package.json").write_text('{"private": true}')
        npm = ["npm", "install", "--no-fund", "--no-audit", f"{client.package}@{client.version}"]
        subprocess.run(npm, cwd=where, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        (where / ".installed").touch()
    return where / "node_modules" / ".bin"


def _config(issuer: str, upstream: FakeUpstream, directory: Path, resource: Any) -> Config:
    data = {
        "issuer": issuer,
        "store": f"sqlite://{directory}/mintage.db",
        "secret": "env:SECRET",
        "upstream": {
            "issuer": upstream.issuer,
            "client_id": upstream.client_id,
            "client_secret": "env:UPSTREAM_SECRET",
        },
        "resource": [resource],
    }
    environ = {"SECRET": _SECRET, "UPSTREAM_SECRET": upstream.client_secret}
    return parse(data, base=directory, environ=environ)


def _listening(app: Any, port: int) -> Any:
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_config=None, lifespan="on",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    return serving(uvicorn.Server(config))


@asynccontextmanager
async def gateway(upstream: FakeUpstream, directory: Path) -> AsyncIterator[str]:
    """The URL of an MCP server behind the gateway."""
    backend, port = free_port(), free_port()
    behind = build(f"{upstream.issuer}/userinfo").streamable_http_app(host="127.0.0.1")
    resource = {"path": "/mcp", "backend": f"http://127.0.0.1:{backend}/mcp"}
    issuer = f"http://127.0.0.1:{port}"
    app = Mintage(_config(issuer, upstream, directory, resource), fetch=_Fetch())
    async with _listening(behind, backend), _listening(app, port):
        yield f"{issuer}/mcp"


@asynccontextmanager
async def embedded(upstream: FakeUpstream, directory: Path) -> AsyncIterator[str]:
    """The URL of a FastMCP server with `MintageAuth` in it."""
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    config = _config(issuer, upstream, directory, {"path": "/mcp"})
    server = FastMCP("notes", auth=MintageAuth.of(Mintage(config, fetch=_Fetch())))

    @server.tool  # type: ignore[untyped-decorator]
    async def whoami() -> str:
        return "somebody"

    async with _listening(server.http_app(), port):
        yield f"{issuer}/mcp"


async def run(client: Client, url: str, home: Path) -> Outcome:
    """Log *client* in at *url*, with a home of its own."""
    desktop, seen = home / "bin", home / "seen.txt"
    desktop.mkdir(parents=True)
    browser = _BROWSER.format(python=sys.executable, seen=str(seen))
    for program in ("xdg-open", "www-browser", "open"):
        (desktop / program).write_text(browser)
        (desktop / program).chmod(0o700)
    for name, text in client.files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text.replace("URL", url))
    environ = {
        "HOME": str(home), "PATH": f"{desktop}{os.pathsep}{os.environ['PATH']}",
        "BROWSER": f"{desktop}/xdg-open", "TERM": "dumb", "NO_COLOR": "1",
        "DISABLE_AUTOUPDATER": "1", "PYTHONPATH": str(ROOT / "src"),
    }  # fmt: skip
    said = []
    for command in client.commands:
        filled = command.replace("BIN", str(install(client))).replace("URL", url)
        said.append(await _said(filled.replace("PYTHON", sys.executable).split(), environ, home))
    connected = re.search(client.connected, said[-1]) is not None
    return Outcome(connected, _way(seen), "\n".join(said))


async def _said(command: list[str], environ: dict[str, str], home: Path) -> str:
    """What *command* prints on a terminal: some clients log in only where a person may be."""
    terminal, inside = pty.openpty()
    child = await asyncio.create_subprocess_exec(
        *command, cwd=home, env=environ, stdin=inside, stdout=inside, stderr=inside,
        start_new_session=True,
    )  # fmt: skip
    os.close(inside)
    text = bytearray()
    loop, gone = asyncio.get_running_loop(), asyncio.Event()

    def more() -> None:
        try:
            chunk = os.read(terminal, 4096)
        except OSError:  # the last program on the terminal has ended
            chunk = b""
        text.extend(chunk)
        if not chunk:
            loop.remove_reader(terminal)
            gone.set()

    loop.add_reader(terminal, more)
    try:
        await asyncio.wait_for(child.wait(), _SECONDS)
    except TimeoutError:
        child.kill()
        text += f"\nno end after {_SECONDS} s".encode()
    await child.wait()
    with suppress(TimeoutError):  # a program that it left behind may hold the terminal
        await asyncio.wait_for(gone.wait(), 1)
    loop.remove_reader(terminal)
    os.close(terminal)
    return f"{' '.join(command)}\n{text.decode(errors='replace')}"


def _way(seen: Path) -> str:
    """How the client made itself known, by the client_id in the browser's address."""
    if not seen.exists():
        return "opened no browser"
    query = parse_qs(urlsplit(seen.read_text().split()[0]).query)
    by_document = query.get("client_id", [""])[0].startswith("https://")
    return "metadata document" if by_document else "registration"


async def battery(wanted: list[Client]) -> bool:
    """Run all of *wanted*, print their table, and tell whether each of them logged in."""
    clean = True
    print(
        "| client | version | way of registration | gateway | `MintageAuth` |\n"
        "|---|---|---|---|---|"
    )
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(FakeUpstream(time.time).running())
        directory = Path(tempfile.mkdtemp(prefix="mintage-clients-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        urls = []
        for target in (gateway, embedded):
            (directory / target.__name__).mkdir()
            opened = target(upstream, directory / target.__name__)
            urls.append(await stack.enter_async_context(opened))
        for number, client in enumerate(wanted):
            homes = [directory / f"home-{number}-{at}" for at in range(len(urls))]
            both = (run(client, url, home) for url, home in zip(urls, homes, strict=True))
            outcomes = await asyncio.gather(*both)
            ways = " / ".join(dict.fromkeys(outcome.way for outcome in outcomes))
            print(
                f"| {' | '.join([client.name, client.version, ways, *map(str, outcomes)])} |",
                flush=True,
            )
            for outcome in outcomes:
                clean &= outcome.connected
                if not outcome.connected:
                    print(outcome.said, file=sys.stderr, flush=True)
    return clean


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m batteries.clients")
    parser.add_argument("client", nargs="*", help="their names; all of them without any")
    given = parser.parse_args()
    wanted = [one for one in CLIENTS if not given.client or one.name in given.client]
    if _INSIDE in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # noqa: S607
        raise SystemExit(not asyncio.run(battery(wanted)))
    for client in wanted:
        install(client)
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *own, "--net", sys.executable, "-m", "batteries.clients", *given.client]
    inside = subprocess.run(command, env=os.environ | {_INSIDE: "1"}, check=False)  # noqa: S603
    raise SystemExit(inside.returncode)


if __name__ == "__main__":
    main()
