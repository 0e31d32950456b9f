"""The ASGI application: from a request's path to its endpoint, and what runs beside it."""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from mintage.app.chores import end, forever
from mintage.app.clocks import Clocks
from mintage.app.gateway import open_gateway
from mintage.app.parts import Parts, open_parts
from mintage.app.routes import page_paths, routes
from mintage.app.store_watch import sweep
from mintage.clients.fetching import GuardedFetch
from mintage.clients.policy import AcceptClient
from mintage.endpoints import VERIFY
from mintage.errors import NotFound, OAuthError, StoreUnavailable
from mintage.gateway.forward_auth import ForwardAuth
from mintage.gateway.gateway import Gateway
from mintage.gateway.peers import Peers, read_networks
from mintage.grant_tokens import Tokens
from mintage.grants.states import UpstreamTokens
from mintage.server.queries import kept_from_logs
from mintage.server.upstream_revoker import UpstreamRevoker
from mintage.settings.environment import check_environment
from mintage.settings.load import Config
from mintage.stores.protocol import Store
from mintage.upstream.protocol import Exchange
from mintage.values import Clock, RandomBytes
from mintage.vault.vault import Vault
from mintage.web.cors import PREFLIGHT, for_any_origin, is_preflight
from mintage.web.edge import Handler, error_response, failure_of
from mintage.web.limits import check_size

log = logging.getLogger("mintage")

_SWEEP = 60  # seconds between two rounds
_CLOCK = 30
_REVIEW = 3600


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
    """

    config: Config
    clock: Clock = time.time
    random_bytes: RandomBytes = secrets.token_bytes
    fetch: GuardedFetch | None = None
    accept_client: AcceptClient | None = None
    steady: Clock | None = None
    _running: "Running | None" = field(default=None, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "lifespan":
                await self._lifespan(receive, send)
            case "http" if self._running is not None:
                await self._running.serve(scope, receive, send)
            case "websocket" if self._running is not None:
                await self._running.converse(scope, receive, send)
            case _:
                raise RuntimeError("the application was not started: run it with lifespan on")

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Running"]:
        """Open the store and the providers for as long as the block lasts.

        Returns:
            An asynchronous context manager that gives the open `Running`.

        Raises:
            ConfigError: A setting turns out to be wrong.
            StoreError: The store can't be opened.
        """
        async with _run(self) as running:
            self._running = running
            try:
                yield running
            finally:
                self._running = None

    def drain(self) -> None:
        """End the streams that would never end by themselves: the server is about to stop."""
        if self._running is not None:
            self._running.drain()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self.running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:
            if self._running is None:
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


@dataclass(slots=True)
class Running:
    """The application while it is open. `Mintage.running` makes it; don't construct it.

    Args:
        parts, endpoints, gateway, pages, peers, forward_auth: Private, and may change.
    """

    parts: Parts
    endpoints: Mapping[str, Handler]
    gateway: Gateway
    pages: frozenset[str]
    peers: Peers
    forward_auth: ForwardAuth | None

    @property
    def store(self) -> Store:
        """The store that is open."""
        return self.parts.store

    @property
    def vault(self) -> Vault:
        """The grants. ``vault.listing`` lists and ends them."""
        return self.parts.vault

    @property
    def tokens(self) -> Tokens:
        """What issues and verifies the tokens of all resources."""
        return self.parts.tokens

    @property
    def revoker(self) -> UpstreamRevoker:
        """What revokes tokens at the identity provider."""
        return self.parts.revoker

    def answers_at(self, path: str) -> bool:
        """Whether one of Mintage's own endpoints answers at a path.

        Args:
            path: The path of a request.

        Returns:
            True for an endpoint; False for a resource, and for everything else.
        """
        asked = self.forward_auth is not None and self.forward_auth.answers_at(path)
        return asked or path in self.endpoints

    def drain(self) -> None:
        """End the streams that would never end by themselves."""
        self.gateway.drain()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request.

        Args:
            scope, receive, send: As ASGI has them.
        """
        if self.forward_auth is not None and self.forward_auth.is_asked(scope):
            return await self.forward_auth(scope, receive, send)
        asked, scope = scope, self._from_the_client(scope)
        endpoint = self.endpoints.get(scope["path"])
        if endpoint is not None and scope["path"] in self.pages:
            scope = {**scope, "query_string": kept_from_logs(asked).get("query_string", b"")}
            return await self._serve(endpoint, scope, receive, send)
        if is_preflight(scope):
            return await PREFLIGHT(scope, receive, send)
        if endpoint is None:
            return await self._pass_on(scope, receive, send)
        return await self._serve(endpoint, scope, receive, for_any_origin(send))

    def _from_the_client(self, scope: Scope) -> Scope:
        """*scope* with the client's address in place of a trusted proxy's."""
        peer = scope["client"][0] if scope.get("client") else None
        if not self.peers.trusts(peer):
            return scope
        client = self.peers.client_of(peer, scope["headers"])
        return {**scope, "client": None if client is None else (client, 0)}

    async def converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a WebSocket. Only the gateway has any; elsewhere it is closed with the code 1008.

        Args:
            scope, receive, send: As ASGI has them.
        """
        scope = self._from_the_client(scope)
        try:
            check_size(scope)
            found = self.gateway.find(scope.get("raw_path") or scope["path"].encode())
        except OAuthError:
            found = None
        if found is None:
            return await send({"type": "websocket.close", "code": 1008})
        return await self.gateway.relay_websocket(scope, receive, send, found=found)

    async def _serve(self, endpoint: Handler, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_size(scope)
            response = await endpoint(Request(scope, receive))
        except OAuthError as error:
            response = error_response(failure_of(error, Request(scope), self.parts.random_bytes))
        await response(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on to the gateway, which sets CORS headers for each resource itself."""
        try:
            check_size(scope)
            raw_path = scope.get("raw_path") or scope["path"].encode()
            if (found := self.gateway.find(raw_path)) is None:
                raise NotFound("there is nothing at this path; check the address")
        except OAuthError as error:
            response = error_response(failure_of(error, Request(scope), self.parts.random_bytes))
            return await response(scope, receive, for_any_origin(send))
        return await self.gateway(scope, receive, send, found=found)


@asynccontextmanager
async def _run(app: Mintage) -> AsyncIterator[Running]:
    check_environment(os.environ)
    async with open_parts(
        app.config,
        clocks=Clocks.of(app.clock) if app.steady is None else Clocks(app.clock, app.steady),
        random_bytes=app.random_bytes,
        fetch=app.fetch,
        accept_client=app.accept_client,
    ) as parts:

        async def exchange(tokens: UpstreamTokens, wanted: Exchange) -> UpstreamTokens:
            return await parts.upstreams.exchange(tokens, wanted, now=int(parts.clock()))

        gateway = open_gateway(
            app.config,
            parts.site,
            bearer=parts.bearer,
            vault=parts.vault,
            exchange=exchange,
            clock=parts.clock,
            steady=parts.steady,
            random_bytes=parts.random_bytes,
        )
        peers = Peers(read_networks(app.config.gateway.trusted_proxies))
        running = Running(
            parts,
            routes(parts),
            gateway,
            page_paths(parts),
            peers,
            _forward_auth(parts, gateway, peers),
        )
        await _enter_secrets(parts)
        chores = [
            asyncio.create_task(forever("changes", parts.vault.watch, pause=1)),
            asyncio.create_task(
                forever("sweep", lambda: sweep(parts.store, parts.clock), pause=_SWEEP)
            ),
            asyncio.create_task(
                forever("clock", lambda: parts.clock.follow(parts.store), pause=_CLOCK)
            ),
            asyncio.create_task(forever("secrets", lambda: _review_secrets(parts), pause=_REVIEW)),
        ]
        try:
            yield running
        finally:
            await end(chores)
            await gateway.close()


def _forward_auth(parts: Parts, gateway: Gateway, peers: Peers) -> ForwardAuth | None:
    asker = parts.config.gateway.forward_auth
    if asker is None:
        return None
    return ForwardAuth(gateway, peers, asker, f"{parts.site.base_path}/{VERIFY.name}")


async def _enter_secrets(parts: Parts) -> None:
    """Enter this server's secrets in the register, before a client registers under them."""
    try:
        if parts.config.store != "memory://":  # which no other server can look into
            await parts.secret_needs.register.note()
    except StoreUnavailable as error:
        log.warning("secrets: %s; entered later", error)


async def _review_secrets(parts: Parts) -> None:
    if parts.config.store != "memory://":
        await parts.secret_needs.review(now=parts.clock())
