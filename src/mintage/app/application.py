"""The ASGI application, and its start and stop."""

import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.types import Receive, Scope, Send

from mintage.app.clocks import Clocks
from mintage.app.generations import Generations
from mintage.app.lasting import open_lasting
from mintage.app.running import Running
from mintage.app.telemetry import with_opentelemetry
from mintage.clients.fetching import GuardedFetch
from mintage.clients.policy import AcceptClient
from mintage.errors import ConfigError
from mintage.events.operation import SettingsLoaded
from mintage.settings.environment import check_environment
from mintage.settings.load import Config
from mintage.telemetry.telemetry import OFF, Telemetry
from mintage.values import Clock, RandomBytes


@dataclass(slots=True)
class Mintage:
    """The ASGI application. Run it with an ASGI server that has lifespan on.

    `create_app` makes one.

    Args:
        config: What `load_config` returned.
        clock: Called for the time, in seconds since the epoch. Tests pass their own.
        random_bytes: Called with a number for that many random bytes. Tests pass their own.
        fetch: Fetches what clients publish. None: only from public addresses.
        accept_client: As in `create_app`.
        steady: A clock for pauses, in seconds. None: the system's monotonic clock, or *clock* if
            you gave one.
        telemetry: Private, and may change: who gets the metrics and traces.
    """

    config: Config
    clock: Clock = time.time
    random_bytes: RandomBytes = secrets.token_bytes
    fetch: GuardedFetch | None = None
    accept_client: AcceptClient | None = None
    steady: Clock | None = None
    telemetry: Telemetry = OFF
    _generations: Generations | None = field(default=None, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        generations = self._generations
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif generations is None:
            raise RuntimeError("the application was not started: run it with lifespan on")
        else:
            await generations(scope, receive, send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """Open the store and the providers for as long as the block lasts.

        Returns:
            An asynchronous context manager that gives the open `Running`.

        Raises:
            ConfigError: A setting turns out to be wrong.
            StoreError: The store can't be opened.
        """
        check_environment(os.environ)
        clocks = Clocks.of(self.clock) if self.steady is None else Clocks(self.clock, self.steady)
        async with open_lasting(
            self.config,
            clocks=clocks,
            random_bytes=self.random_bytes,
            fetch=self.fetch,
            accept_client=self.accept_client,
            telemetry=with_opentelemetry(self.telemetry, self.config.opentelemetry),
        ) as lasting:
            generations = await Generations.open_first(self.config, lasting)
            lasting.emit(SettingsLoaded(digest=self.config.digest))
            self._generations = generations
            try:
                yield generations.running
            finally:
                self._generations = None
                await generations.close()

    async def reload(self, config: Config) -> Running:
        """Answer new requests as another configuration says. `mintage serve` does this on SIGHUP.

        Requests, streams and WebSockets under way continue, judged by the new rules. If an error is
        raised, nothing has changed. Inside an application with an integration, restart instead:
        the integration keeps the `Running` that it was started with.

        Args:
            config: What `load_config` returned, with the same ``issuer`` and ``store``.

        Returns:
            The open `Running`, in place of the former one.

        Raises:
            ConfigError: A setting can't be used.
            StoreError: The root secrets are others, and the store can't be asked who needs them.
            RuntimeError: The application was not started.
        """
        if self._generations is None:
            raise RuntimeError("the application was not started: run it with lifespan on")
        for key in ("issuer", "store"):
            if getattr(config, key) != getattr(self.config, key):
                raise ConfigError(key, "can't change while the server runs: restart it")
        running = await self._generations.replace(config)
        self.config = config
        return running

    def current(self) -> Running:
        """The open application, for what is served beside it.

        Returns:
            The `Running` that answers new requests.

        Raises:
            RuntimeError: The application was not started.
        """
        if self._generations is None:
            raise RuntimeError("the application was not started: run it with lifespan on")
        return self._generations.running

    def drain(self) -> None:
        """End the streams that would never end by themselves: the server is about to stop."""
        if self._generations is not None:
            self._generations.drain()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self.running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            if self._generations is None:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})


def create_app(config: Config, *, accept_client: AcceptClient | None = None) -> Mintage:
    """The application that a configuration describes. Its lifespan starts it (see `Mintage`).

    Args:
        config: What `load_config` returned.
        accept_client: A coroutine function that gets each `Client` that came by a metadata
            document, and returns whether it may log in. It is called each time the client is looked
            up. None: all may.

    Returns:
        An ASGI application.
    """
    return Mintage(config, accept_client=accept_client)
