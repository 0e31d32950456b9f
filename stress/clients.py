"""Real clients, as their users install them, log in to the gateway and to ``MintageAuth``.

::

    python -m stress.clients [CLIENT…]

Each client comes from its registry into a cache (``$XDG_CACHE_HOME/mintage/clients``). Then the
program starts itself again in a network namespace with loopback only, with a program in place of
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
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
import uvicorn
from fastmcp import FastMCP

from mintage.app import Mintage
from mintage.clients.fetching import Fetched, GuardedFetch
from mintage.demo.backend import build
from mintage.errors import FetchFailed
from mintage.integrations.fastmcp import MintageAuth
from mintage.settings.load import Config, parse
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from stress.client_programs import CLIENTS, DOCUMENTS, Client, install

ROOT: Final = Path(__file__).parents[1]
_INSIDE: Final = "MINTAGE_CLIENTS_INSIDE"
_SECONDS: Final = 45  # for one command of one client
_SECRET: Final = "vT5mJ0q2fXkq0cR8yE1uZs7Lw4nB6hGdP3aKxN9tQeM"  # noqa: S105

# In place of a desktop's xdg-open, which comes back at once: goes to the URL a second later,
# allows it, and follows to the client.
_BROWSER: Final = """\
#!{python}
import asyncio, os, sys, time
from mintage.testing.browser import Browser
from mintage.testing.oauth_client import approve
url = next(word for word in sys.argv[1:] if word.startswith("http"))
if os.fork():
    os._exit(0)
os.setsid()
seen = os.open({seen!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
os.write(seen, f"{{url}}\\n".encode())
for stream in (0, 1, 2):
    os.dup2(seen, stream)
time.sleep(1)
async def main():
    async with Browser() as browser:
        page = await approve(browser, url)
        print("landed:", page.status, page.url.partition("?")[0])
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """*way*: how the client made itself known. *said*: what its commands printed."""

    connected: bool
    way: str
    said: str

    def __str__(self) -> str:
        return "logs in" if self.connected else "does not log in"


class _Fetch(GuardedFetch):
    """Answers for the documents that clients here have; there is no internet."""

    async def __call__(self, url: str, *, limit: int) -> Fetched:
        document = msgspec.json.encode({"client_id": url} | DOCUMENTS.get(url, {}))
        if url not in DOCUMENTS or len(document) > limit:
            raise FetchFailed("there is no network here")
        return Fetched(document, "max-age=300")


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
    commands = [client.filled(command, url) for command in client.commands]
    said = [await _said(command, environ, home) for command in commands]
    connected = re.search(client.connected, said[-1]) is not None
    if seen.exists():
        said.append(f"the browser:\n{seen.read_text()}")
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


async def run_clients(wanted: list[Client]) -> bool:
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
            # One after the other: some clients always listen on the same port.
            outcomes = [
                await run(client, url, directory / f"home-{number}-{at}")
                for at, url in enumerate(urls)
            ]
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
    parser = argparse.ArgumentParser(prog="python -m stress.clients")
    parser.add_argument("client", nargs="*", help="their names; all of them without any")
    given = parser.parse_args()
    wanted = [one for one in CLIENTS if not given.client or one.name in given.client]
    if _INSIDE in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # noqa: S607
        raise SystemExit(not asyncio.run(run_clients(wanted)))
    for client in wanted:
        install(client)
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *own, "--net", sys.executable, "-m", "stress.clients", *given.client]
    inside = subprocess.run(command, env=os.environ | {_INSIDE: "1"}, check=False)  # noqa: S603
    raise SystemExit(inside.returncode)


if __name__ == "__main__":
    main()
