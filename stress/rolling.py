"""Two real replicas are reloaded and restarted under traffic: no request fails, no login is lost.

::

    python -m stress.rolling [--store sqlite|postgres|redis|all] [--rounds 10] [--users 8]

Two ``mintage serve`` processes share a store, each behind a socket that a supervisor holds, as
systemd does. Users log in, call and refresh through a client that takes the replicas in turn, with
a new connection for each request. Meanwhile the operator reloads good settings and bad ones, puts a
new root secret into use, and restarts the replicas one after the other. Each answer must be the
right one: there is no second attempt.
"""

import argparse
import asyncio
import itertools
import json
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import uvicorn
from starlette.types import Receive, Scope, Send
from tests.support.activation import Supervisor

from mintage.network.tls import trusted
from mintage.testing.browser import Browser
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.oauth_client import REDIRECT_URI, OAuthClient, approve
from mintage.testing.serving import serving
from stress.engines import ENGINES, NAMES, engine

_UPSTREAM_LIFETIME: Final = 70  # seconds: 60 before that Mintage renews, so often
_PATIENCE: Final = 60.0
_SETTINGS: Final = """\
issuer = {issuer}
store  = {store}
secret = "file:mintage.secret"
allow  = [{{ subjects = "alice" }}]
[upstream]
issuer        = {upstream}
client_id     = "mintage"
client_secret = "file:upstream.secret"
[[resource]]
path       = "/mcp"
backend    = {backend}
scopes     = ["tools"]
credential = "upstream"
[branding]
name = {name}
"""


class InTurn(httpx2.AsyncBaseTransport):
    """A balancer in the client: each request goes to the next replica, by a new connection."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = itertools.cycle(ports)
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._transport = httpx2.AsyncHTTPTransport(verify=trusted(), limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(port=next(self._ports))
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Each client calls this when it ends, and the others go on: see `finish`."""

    async def finish(self) -> None:
        """Close it for all clients."""
        await self._transport.aclose()


@dataclass
class Book:
    """*answers*: how many of each kind. *wrong*: each one that should have been another."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    change: str = "nothing"
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def expect(self, what: str, asked: Awaitable[httpx2.Response]) -> httpx2.Response | None:
        """The answer to a request, which must be 2xx."""
        try:
            answer = await asked
        except httpx2.HTTPError as error:
            self.wrong.append(f"{what} while {self.change}: {error!r}")
            return None
        self.answers[what] += 1
        if not answer.is_success:
            self.wrong.append(f"{what} while {self.change}: {answer.status_code} {answer.text}")
            return None
        return answer


@dataclass
class Site:
    """Two replicas on one store. *name* is in their settings, and on their pages."""

    directory: Path
    store: str
    issuer: str
    upstream: str
    backend: str
    supervisors: list[Supervisor]
    servers: list[asyncio.subprocess.Process] = field(default_factory=list)
    name: str = "at first"

    @property
    def file(self) -> Path:
        return self.directory / "mintage.toml"

    def write(self, *, nonsense: str = "") -> None:
        values = {
            "issuer": self.issuer,
            "store": self.store,
            "upstream": self.upstream,
            "backend": self.backend,
            "name": self.name,
        }
        text = _SETTINGS.format(**{name: json.dumps(value) for name, value in values.items()})
        self.file.write_text(text + nonsense)

    async def reload(self, said: str) -> None:
        """SIGHUP for each replica, until each has *said* what came of it."""
        for supervisor, server in zip(self.supervisors, self.servers, strict=True):
            before = supervisor.log.count(said)
            server.send_signal(signal.SIGHUP)
            async with asyncio.timeout(_PATIENCE):
                while supervisor.log.count(said) == before:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

    async def good_settings(self) -> None:
        self.name = f"at {time.monotonic()}"
        self.write()
        await self.reload("settings reloaded")

    async def bad_settings(self) -> None:
        self.write(nonsense="[[resource]]\npath = 'no path'\n")
        await self.reload("settings not reloaded")
        self.write(nonsense="this is no TOML")
        await self.reload("settings not reloaded")
        self.write()

    async def new_secret(self) -> None:
        """All replicas know it before one of them uses it."""
        await self.command("keys", "rotate", "--stage")
        await self.reload("settings reloaded")
        await self.command("keys", "rotate")
        await self.reload("settings reloaded")

    async def restart(self) -> None:
        """One replica after the other."""
        for number, supervisor in enumerate(self.supervisors):
            self.servers[number] = await supervisor.restart(self.servers[number])

    async def command(self, *words: str) -> None:
        done = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mintage", *words, "--config", str(self.file),
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        if await done.wait():
            raise RuntimeError(f"mintage {' '.join(words)} failed")

    @property
    def changes(self) -> list[Callable[[], Awaitable[None]]]:
        return [self.good_settings, self.bad_settings, self.restart, self.new_secret]


async def user(site: Site, balanced: InTurn, book: Book) -> None:
    """One user with one client, who logs in once and then works until all is over."""
    browser = Browser(stop_at=(REDIRECT_URI,), mounts={site.issuer: balanced})
    async with (
        httpx2.AsyncClient(transport=balanced, timeout=_PATIENCE) as http,
        browser,
    ):
        while not book.over.is_set():
            client = OAuthClient(site.issuer, http, f"{site.issuer}/mcp")
            await client.register()
            login = client.authorization()
            page = await approve(browser, login.url)
            if "code" not in (answer := httpx2.URL(page.url).params):
                return book.wrong.append(f"login while {book.change}: {page.status} {page.url}")
            book.answers["login"] += 1
            tokens = await book.expect("code", client.redeem(login, answer["code"]))
            for _ in range(5):
                if tokens is None:
                    return None
                found: dict[str, Any] = tokens.json()
                for _ in range(10):
                    await book.expect("call", client.call(found["access_token"]))
                    await asyncio.sleep(0.02)
                tokens = await book.expect("refresh", client.refresh(found["refresh_token"]))
    return None


async def _backend(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})


@asynccontextmanager
async def site_on(store: str, directory: Path) -> AsyncIterator[tuple[Site, InTurn]]:
    """Two replicas that serve, and what balances between them. *store*: its URL."""
    async with AsyncExitStack() as stack:
        upstream = FakeUpstream(time.time, lifetime=_UPSTREAM_LIFETIME)
        await stack.enter_async_context(upstream.running())
        port = free_port()
        config = uvicorn.Config(_backend, port=port, log_config=None, lifespan="off")
        await stack.enter_async_context(serving(uvicorn.Server(config)))
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        for one in held:
            one.listen(1024)
        ports = [one.getsockname()[1] for one in held]
        for name, text in (
            ("mintage.secret", secrets.token_urlsafe(32)),
            ("upstream.secret", upstream.client_secret),
        ):
            (directory / name).touch(0o600)
            (directory / name).write_text(text + "\n")
        logs = [directory / f"replica-{number}.log" for number in range(2)]
        site = Site(
            directory=directory,
            store=store,
            issuer=f"http://127.0.0.1:{free_port()}",  # only the balancer knows who is there
            upstream=upstream.issuer,
            backend=f"http://127.0.0.1:{port}",
            supervisors=[
                Supervisor(one, directory / "mintage.toml", log)
                for one, log in zip(held, logs, strict=True)
            ],
        )
        site.write()
        balanced = InTurn(ports)
        stack.push_async_callback(balanced.finish)
        for supervisor in site.supervisors:
            site.servers.append(await supervisor.start())
        try:
            yield site, balanced
        finally:
            for server in site.servers:
                with suppress(ProcessLookupError):
                    server.terminate()
                await server.wait()


async def run_rolling(store: str, directory: Path, *, rounds: int, users: int) -> Book:
    """Each change *rounds* times, while *users* users work."""
    book = Book()
    async with site_on(store, directory) as (site, balanced):
        lives = [asyncio.create_task(user(site, balanced, book)) for _ in range(users)]
        for _ in range(rounds):
            for change in site.changes:
                book.change = change.__name__.replace("_", " ")
                await change()
                book.change = f"{book.change} is done"
                await asyncio.sleep(0.3)
        book.over.set()
        for life in await asyncio.gather(*lives, return_exceptions=True):
            if isinstance(life, BaseException):
                book.wrong.append(repr(life))
    return book


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stress.rolling")
    parser.add_argument("--store", choices=["sqlite", "postgres", "redis", "all"], default="all")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--users", type=int, default=8)
    given = parser.parse_args()
    clean = True
    for name in (n for n in ENGINES if n != "cluster" and given.store in (n, "all")):
        with engine(name) as url, tempfile.TemporaryDirectory() as directory:
            work = run_rolling(url, Path(directory), rounds=given.rounds, users=given.users)
            book = asyncio.run(work)
        print(f"{NAMES[name]}: {given.rounds} rounds", flush=True)
        for what, count in sorted(book.answers.items()):
            print(f"  {what}: {count}")
        print(f"  wrong: {len(book.wrong)}", flush=True)
        for line in book.wrong[:20]:
            print(f"    {line}")
        clean &= not book.wrong
    raise SystemExit(not clean)


if __name__ == "__main__":
    main()
