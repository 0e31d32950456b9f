"""The server as its settings describe it now, and former ones that still answer requests.

A reload opens a new server beside the old one. From one moment on every new request goes to the new
one. The old one finishes what it has begun, and closes.
"""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Final

from starlette.types import Receive, Scope, Send

from mintage.app.chores import end
from mintage.app.lasting import Lasting
from mintage.app.machines import machines_of
from mintage.app.running import Running
from mintage.app.server import open_server
from mintage.errors import ConfigError
from mintage.settings.load import Config

_MAX_FORMER: Final = 4

log = logging.getLogger("mintage")


class _Generation:
    """One server, and how many requests it is answering."""

    __slots__ = ("closing", "config", "idle", "requests", "running")

    def __init__(self, config: Config, running: Running, closing: AsyncExitStack) -> None:
        self.config = config
        self.running = running
        self.closing = closing
        self.requests = 0
        self.idle = asyncio.Event()


class Generations:
    """An ASGI application for HTTP and WebSockets. `open_first` opens it, `close` closes it."""

    def __init__(self, lasting: Lasting, first: _Generation) -> None:
        self._lasting = lasting
        self._now = first
        self._former: dict[_Generation, asyncio.Task[None]] = {}  # in the order of their age
        self._changing = asyncio.Lock()
        self._measuring: list[asyncio.Task[None]] = []  # of the newest alone
        self._become(first)

    @classmethod
    async def open_first(cls, config: Config, lasting: Lasting) -> "Generations":
        """Open the server that *config* describes."""
        return cls(lasting, await _open(config, lasting))

    @property
    def running(self) -> Running:
        """The server that gets new requests."""
        return self._now.running

    @property
    def former(self) -> int:
        """How many former servers still answer requests."""
        return len(self._former)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the newest server, from the beginning to the end."""
        generation = self._now
        generation.requests += 1
        try:
            await generation.running.entry(scope, receive, send)
        finally:
            generation.requests -= 1
            if generation is not self._now and generation.requests == 0:
                generation.idle.set()

    async def replace(self, config: Config) -> Running:
        """Answer new requests as *config* says.

        If that fails, nothing has changed. Raises `ConfigError`, and `StoreError` if the secrets
        are others and the store can't be asked whether grants need the former ones.
        """
        async with self._changing:
            former, fresh = self._now, await _open(config, self._lasting)
            fresh.running.client_denials.go_on_from(former.running.client_denials)
            try:
                if self._lasting.shared and config.secrets != former.config.secrets:
                    await _check_secrets(fresh.running)
            except BaseException:
                await fresh.closing.aclose()
                raise
            self._become(fresh)
            former.running.gateway.hand_over(fresh.running.gateway)
            self._former[former] = asyncio.create_task(self._finish(former))
            for oldest in list(self._former)[:-_MAX_FORMER]:
                oldest.running.drain()
            return fresh.running

    def drain(self) -> None:
        """End the streams that would never end by themselves."""
        for generation in (*self._former, self._now):
            generation.running.drain()

    async def close(self) -> None:
        """Close all servers. Nobody may send a request any more."""
        for former in self._former:
            former.idle.set()
        await asyncio.gather(*self._former.values())
        await end(self._measuring)
        await self._now.closing.aclose()

    def _become(self, generation: _Generation) -> None:
        running = generation.running
        self._now = generation
        config = generation.config
        self._lasting.providers.become(
            running.upstreams, config.allow, machines_of(config), running.others
        )
        running.vault.live.judge_again()
        for task in self._measuring:
            task.cancel()
        chores = self._lasting.telemetry.chores(running.store, running.vault, running.gateway)
        self._measuring = [asyncio.create_task(each) for each in chores]

    async def _finish(self, former: _Generation) -> None:
        """Close *former* as soon as it has no requests."""
        if former.requests:
            await former.idle.wait()
        try:
            await former.closing.aclose()
        except Exception:
            log.exception("a former server was not closed in good order")
        self._former.pop(former, None)


async def _open(config: Config, lasting: Lasting) -> _Generation:
    closing = AsyncExitStack()
    running = await closing.enter_async_context(open_server(config, lasting))
    return _Generation(config, running, closing)


async def _check_secrets(running: Running) -> None:
    """Raise `ConfigError` if live grants need a root secret that *running* does not have."""
    if missing := await running.secret_needs.missing():
        names = ", ".join(need.secret_id for need in missing)
        raise ConfigError(
            "secret",
            f"grants need the secret {names}, which is not among the configured ones: put it back",
        )
