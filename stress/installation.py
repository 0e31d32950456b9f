"""Two replicas of Mintage behind a balancer, whose settings, secrets, clocks and store change."""

import asyncio
import json
import random
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import uvicorn
from starlette.types import Receive, Scope, Send

from mintage.app import Mintage
from mintage.errors import StoreUnavailable
from mintage.settings.load import Config, load
from mintage.stores.copying import Round, copy
from mintage.stores.opening import open_store
from mintage.testing.fake_upstream import FakeUpstream
from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving

T = TypeVar("T")

_ATTEMPTS: Final = 10
PATHS: Final = ("/notes", "/files")
SCOPES: Final = {"/notes": ("read", "write"), "/files": ("read",), "/renamed": ("read",)}
UPSTREAM_LIFETIME: Final = 4  # seconds: renewals are a part of the traffic


@dataclass
class Settings:
    """What an operator can change. A copy of it is what a replica was started with."""

    store: str
    secrets: tuple[str, ...]
    upstream: FakeUpstream
    upstream_secret: str
    paths: tuple[str, ...] = PATHS
    scopes: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(SCOPES))


@dataclass
class Replica:
    """*offset*: seconds by which its clock is ahead. *busy*: requests under way."""

    offset: float = 0.0
    app: Mintage | None = None
    busy: int = 0
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)

    def clock(self) -> float:
        return time.time() + self.offset

    async def start(self, config: Config) -> None:
        app = Mintage(config, clock=self.clock, steady=time.monotonic)
        await patiently(lambda: self._open.enter_async_context(app.running()))
        self.app = app

    async def stop(self) -> None:
        """Take no more requests, finish those under way, and stop."""
        running, self.app = self.app, None
        if running is None:
            return
        running.drain()
        while self.busy:  # noqa: ASYNC110  (requests end by themselves)
            await asyncio.sleep(0.01)
        await self._open.aclose()


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """What *attempt* comes to. On a busy machine a store may be silent: then it is tried again,
    as whatever starts servers does."""
    for _ in range(_ATTEMPTS):
        with suppress(StoreUnavailable):
            return await attempt()
        await asyncio.sleep(1)
    return await attempt()


def write(settings: Settings, issuer: str, backend: str, directory: Path) -> Path:
    """The configuration file in *directory* that says *settings*, with its secrets beside it."""
    upstream = settings.upstream
    lines = [
        f"issuer = {json.dumps(issuer)}",
        f"store = {json.dumps(settings.store)}",
        'secret = "file:secret"',
        "[upstream]",
        f"issuer = {json.dumps(upstream.issuer)}",
        f"client_id = {json.dumps(upstream.client_id)}",
        'client_secret = "file:upstream-secret"',
    ]
    for path in settings.paths:
        lines += [
            "[[resource]]",
            f"path = {json.dumps(path)}",
            f"backend = {json.dumps(backend + path)}",
            f"scopes = {json.dumps(list(settings.scopes[path]))}",
            'credential = "upstream"',
        ]
    for name, text in (
        ("secret", "\n".join(settings.secrets)),
        ("upstream-secret", settings.upstream_secret),
        ("mintage.toml", "\n".join(lines)),
    ):
        (directory / name).write_text(f"{text}\n")
        (directory / name).chmod(0o600)
    return directory / "mintage.toml"


@dataclass
class Installation:
    """*settings* are those that the next start uses. An ASGI app: the balancer.

    *clocks_set_at*: when the last clock was set, in monotonic seconds.
    """

    settings: Settings
    other_upstream: FakeUpstream
    issuer: str
    backend: str
    random_bytes: random.Random
    directory: Path
    replicas: tuple[Replica, Replica] = field(default_factory=lambda: (Replica(), Replica()))
    clocks_set_at: float = 0.0
    _moves: int = 0
    _first_store: str = field(init=False)

    def __post_init__(self) -> None:
        self._first_store = self.settings.store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        up = [replica for replica in self.replicas if replica.app is not None]
        if not up:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            return await send({"type": "http.response.body", "body": b""})
        replica = self.random_bytes.choice(up)
        assert replica.app is not None
        replica.busy += 1
        try:
            return await replica.app(scope, receive, send)
        finally:
            replica.busy -= 1

    async def move(self) -> None:
        """Copy all records to an empty store while the servers work, again when they are
        stopped, and start there."""
        target = self._empty_store()
        await self._copy_to(target)
        await self.stop()
        *_, last = await self._copy_to(target)
        if not last.is_quiet:
            raise RuntimeError("the copy of a store that nobody writes to did not come to an end")
        self.settings.store = target
        await self.restart()

    async def back_up(self) -> tuple[str, float]:
        """The URL of a store with all records as of one moment, and when that was.

        The servers stop meanwhile.
        """
        backup = self._empty_store()
        await self.stop()
        await self._copy_to(backup)
        made = time.monotonic()
        await self.restart()
        return backup, made

    async def command(self, *words: str) -> tuple[int, str]:
        """Exit code and output of ``mintage`` with these *words*, on the settings as they are."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mintage", *words, "--config", str(self._written()),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await child.communicate()
        assert child.returncode is not None
        return child.returncode, output.decode()

    def secrets_of_the_file(self) -> tuple[str, ...]:
        """What a command left in the file of secrets."""
        return tuple((self.directory / "secret").read_text().split())

    async def restart(self, *which: int) -> None:
        """Restart replicas, one after the other, with the settings as they are now."""
        for number in which or (0, 1):
            replica = self.replicas[number]
            await replica.stop()
            await replica.start(load(self._written()))

    async def stop(self) -> None:
        for replica in self.replicas:
            await replica.stop()

    def _written(self) -> Path:
        return write(self.settings, self.issuer, self.backend, self.directory)

    def _empty_store(self) -> str:
        self._moves += 1
        return _beside(self._first_store, f"moved{self._moves}")

    async def _copy_to(self, url: str) -> list[Round]:
        source = await patiently(lambda: open_store(self.settings.store, clock=time.time))
        target = await patiently(lambda: open_store(url, clock=time.time))
        try:
            return await copy(source, target)
        finally:
            await source.close()
            await target.close()


def _beside(store: str, name: str) -> str:
    """The URL of an empty store on the engine of *store*."""
    if store.startswith("sqlite://"):
        return f"{store}.{name}"
    return f"{store}?schema={name}" if store.startswith("postgresql") else f"{store}?prefix={name}"


def new_secret() -> str:
    return secrets.token_urlsafe(32)


@asynccontextmanager
async def installation(store: str, random_bytes: random.Random) -> AsyncIterator[Installation]:
    """All of it running: two providers, a backend, a balancer and two replicas on *store*."""
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(
                FakeUpstream(time.time, lifetime=UPSTREAM_LIFETIME).running()
            )
            for _ in range(2)
        ]
        port, backend_port = free_port(), free_port()
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mintage-")))
        settings = Settings(store, (new_secret(),), first, first.client_secret)
        house = Installation(
            settings,
            second,
            f"http://127.0.0.1:{port}",
            f"http://127.0.0.1:{backend_port}",
            random_bytes,
            directory,
        )

        async def backend(_: Scope, __: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})

        await house.restart()
        stack.push_async_callback(house.stop)
        await stack.enter_async_context(
            serving(_server(house, port), _server(backend, backend_port))
        )
        yield house


def _server(app: Any, port: int) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            log_config=None,
            lifespan="off",
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=3600,  # to hang up on idle clients is none of the changes
        )
    )
