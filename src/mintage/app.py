"""The assembly: the only file that knows a store and a route.

`create_app` gives an ASGI application. It opens store and upstream when it starts and lets
go of them when it stops.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mintage.clients.authentication import Authenticator
from mintage.clients.directory import Directory
from mintage.clients.fetching import GuardedFetch
from mintage.clients.policy import AcceptClient
from mintage.clients.published import Published
from mintage.clients.registration import ClientIds
from mintage.config import Config
from mintage.errors import InvalidRequest, OAuthError, StoreError
from mintage.gateway.backend import Backends
from mintage.gateway.gateway import Gateway
from mintage.gateway.origins import Origins, origin_of
from mintage.gateway.proxy import Backend, Credentials, Proxy
from mintage.grant import UpstreamTokens
from mintage.keyring import KeyRing
from mintage.keys import purpose_key, purpose_keys
from mintage.resource.bearer import Bearer
from mintage.scopes import Hierarchy
from mintage.sealing import BoxKey
from mintage.server.authorize import AuthorizeEndpoint
from mintage.server.callback import CallbackEndpoint
from mintage.server.consent import ConsentEndpoint
from mintage.server.consent_form import ConsentSeal
from mintage.server.cookies import Cookies
from mintage.server.cors import PREFLIGHT, for_any_origin, is_preflight
from mintage.server.farewell import Farewell
from mintage.server.grant_types.authorization_code import AuthorizationCode
from mintage.server.grant_types.refresh_token import RefreshToken
from mintage.server.health import Readiness, alive
from mintage.server.http import (
    Handler,
    error_response,
    failure_of,
    for_clients,
    json_response,
)
from mintage.server.introspect import IntrospectEndpoint
from mintage.server.limits import check_size
from mintage.server.metadata import ClientsAccepted, documents
from mintage.server.pages import for_browsers
from mintage.server.register import RegisterEndpoint
from mintage.server.revoke import RevokeEndpoint
from mintage.server.token import GrantType, TokenEndpoint
from mintage.site import Resource, Site
from mintage.stores.opening import open_store
from mintage.stores.protocol import Store
from mintage.tokens import Tokens
from mintage.upstream.opening import open_upstream
from mintage.upstream.protocol import Upstream
from mintage.upstream.transport import HttpTransport
from mintage.values import Clock, Dice, Secret
from mintage.vault.cache import GrantCache
from mintage.vault.values import Refused, VaultKeys
from mintage.vault.vault import Vault, forget

log = logging.getLogger("mintage")

_SWEEP_SECONDS = 60


@dataclass(slots=True)
class Mintage:
    """The application. *clock*, *dice* and *fetch* are arguments so that tests can hold them.

    *accept_client* has the last word about clients that come by a metadata document.
    """

    config: Config
    clock: Clock = time.time
    dice: Dice = secrets.token_bytes
    fetch: GuardedFetch | None = None
    accept_client: AcceptClient | None = None
    _running: "Running | None" = field(default=None, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "lifespan":
                await self._lifespan(receive, send)
            case "http" if self._running is not None:
                await self._running.serve(scope, receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1008})
            case _:
                raise RuntimeError("the application was not started: run it with lifespan on")

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Running"]:
        """Everything open, for as long as the block lasts."""
        async with _run(self) as running:
            self._running = running
            try:
                yield running
            finally:
                self._running = None

    def drain(self) -> None:
        """The server is about to stop: end the streams that would never end by themselves."""
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
    """The application that *config* describes, yet to be started (see `Mintage`)."""
    return Mintage(config, accept_client=accept_client)


@dataclass(slots=True)
class Running:
    """The open parts, and the way of a request to one of them."""

    store: Store
    vault: Vault
    tokens: Tokens
    farewell: Farewell

    endpoints: Mapping[str, Handler]
    gateway: Gateway
    dice: Dice
    drain: Callable[[], None]
    pages: frozenset[str]

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in self.pages:
            return await self._serve(scope, receive, send)
        if is_preflight(scope):
            return await PREFLIGHT(scope, receive, send)
        return await self._serve(scope, receive, for_any_origin(send))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_size(scope)
            endpoint = self.endpoints.get(scope["path"])
            if endpoint is not None:
                response = await endpoint(Request(scope, receive))
                return await response(scope, receive, send)
            raw_path = scope.get("raw_path") or scope["path"].encode()
            found = self.gateway.find(raw_path)
        except OAuthError as error:
            response = error_response(failure_of(error, Request(scope), self.dice))
            return await response(scope, receive, send)
        if found is None:
            return await _not_found(scope, receive, send)
        return await self.gateway(scope, receive, send, found=found)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    content = {"error": "not_found", "error_description": "there is nothing at this path"}
    await json_response(content, status=404)(scope, receive, send)


@asynccontextmanager
async def _run(app: Mintage) -> AsyncIterator[Running]:
    config, clock, dice = app.config, app.clock, app.dice
    fetch = app.fetch or GuardedFetch()
    published = Published(fetch, policy=config.documents, clock=clock, accept=app.accept_client)
    store = await open_store(config.store, clock=clock)
    upstream = open_upstream(config.upstream, HttpTransport(), clock)
    backends = Backends()
    running = _assemble(config, store, upstream, backends, published, clock, dice)
    chores = [
        asyncio.create_task(_forever("changes", running.vault.watch, pause=1)),
        asyncio.create_task(_forever("sweep", lambda: _sweep(store), pause=_SWEEP_SECONDS)),
    ]
    try:
        yield running
    finally:
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        await running.vault.drain()
        await running.farewell.drain()
        await published.drain()
        if fetch is not app.fetch:
            fetch.close()
        await backends.close()
        await upstream.close()
        await store.close()


def _assemble(
    config: Config,
    store: Store,
    upstream: Upstream,
    backends: Backends,
    published: Published,
    clock: Clock,
    dice: Dice,
) -> Running:
    site = _site(config)
    lifetimes = config.tokens.lifetimes()
    farewell = Farewell(upstream)
    vault = open_vault(config, store, clock=clock, dice=dice, ended=farewell)
    tokens = Tokens(
        issuer=site.issuer,
        resources=[resource.identifier for resource in site.resources],
        keys=KeyRing.of_all(purpose_keys(config.secrets, "sign")),
        access_keys=access_keys(config),
        lifetimes=lifetimes,
        clock=clock,
    )

    async def renew(old: UpstreamTokens) -> UpstreamTokens:
        return await upstream.refresh(old, now=int(clock()))

    readiness = Readiness({"store": lambda: store.load(b"readyz"), "upstream": upstream.check})
    routes = _routes(config, site, upstream, vault, tokens, farewell, renew, published, clock, dice)
    proxy = Proxy(Bearer(tokens, vault, clock, site.hierarchy), Credentials(vault, renew), backends)
    gateway = Gateway(
        site,
        {
            site.base_path + section.path: Backend(
                resource=resource,
                path=section.path,
                url=section.backend,
                credential=section.credential,
            )
            for section, resource in zip(config.resources, site.resources, strict=True)
        },
        proxy,
        Origins(
            own=origin_of(config.issuer),
            allowed=frozenset(config.gateway.allowed_origins),
            let_any_web_page_call=config.gateway.let_any_web_page_call,
        ),
        dice,
    )
    routes |= {
        f"{site.base_path}/healthz": for_clients(alive, dice),
        f"{site.base_path}/readyz": for_clients(readiness, dice),
    }
    pages = frozenset(f"{site.base_path}/{page}" for page in ("authorize", "consent", "callback"))
    return Running(store, vault, tokens, farewell, routes, gateway, dice, proxy.drain, pages)


def open_vault(
    config: Config,
    store: Store,
    *,
    clock: Clock,
    dice: Dice,
    ended: Callable[[Refused], None] = forget,
) -> Vault:
    """The vault that *config* describes, on a *store* that is open."""
    keys, *former = vault_keys(config.secrets)
    grants = config.grants
    return Vault(
        store,
        keys,
        clock=clock,
        dice=dice,
        lifetimes=config.tokens.lifetimes(),
        cache=GrantCache(clock=clock, ttl=grants.cache_seconds, outage=grants.outage_seconds),
        former_keys=former,
        max_grants=grants.max_per_user_and_client,
        ended=ended,
    )


def vault_keys(roots: Iterable[Secret]) -> list[VaultKeys]:
    """What each root secret gives the vault."""
    return [
        VaultKeys(seal=purpose_key(root, "seal"), index=purpose_key(root, "index"))
        for root in roots
    ]


def _site(config: Config) -> Site:
    return Site(
        issuer=config.issuer,
        resources=tuple(
            Resource(
                identifier=config.issuer + section.path,
                scopes=section.scopes,
                optional_scopes=section.optional_scopes,
                name=section.name,
                rules=tuple(rule.rule() for rule in section.rule),
                token_claims=section.token_claims,
            )
            for section in config.resources
        ),
        hierarchy=Hierarchy(config.scopes.implies),
        upstream_scopes=config.scopes.upstream,
    )


def access_keys(config: Config) -> KeyRing | None:
    """The ring of access tokens that others verify too; what was signed before still verifies."""
    if not config.signing_keys:
        return None
    return KeyRing.of_all((*config.signing_keys, *purpose_keys(config.secrets, "sign")))


def _routes(
    config: Config,
    site: Site,
    upstream: Upstream,
    vault: Vault,
    tokens: Tokens,
    farewell: Farewell,
    renew: Callable[[UpstreamTokens], Awaitable[UpstreamTokens]],
    published: Published,
    clock: Clock,
    dice: Dice,
) -> dict[str, Handler]:
    """Every path of the authorization server, and who answers there."""
    client_ids = ClientIds(*purpose_keys(config.secrets, "client-id"))
    directory = Directory(
        client_ids,
        {client.client_id: client for client in config.clients},
        published if config.documents.enabled else None,
    )
    authenticate = Authenticator(
        directory=directory,
        published=published,
        issuer=site.issuer,
        claim=vault.claim,
        clock=clock,
    )
    cookie_keys = tuple(map(BoxKey, purpose_keys(config.secrets, "cookie")))
    cookies = Cookies(cookie_keys, site.secure, dice)
    seal = ConsentSeal(cookie_keys, dice)
    grant_types: list[GrantType] = [
        AuthorizationCode(site=site, vault=vault, tokens=tokens, farewell=farewell),
        RefreshToken(site=site, vault=vault, tokens=tokens, farewell=farewell, renew=renew),
    ]
    authorize = AuthorizeEndpoint(
        site=site,
        directory=directory,
        cookies=cookies,
        seal=seal,
        upstream_name=upstream.name,
        upstream_scopes=config.upstream.scopes,
        clock=clock,
    )
    consent = ConsentEndpoint(
        site=site, upstream=upstream, cookies=cookies, seal=seal, clock=clock, dice=dice
    )
    callback = CallbackEndpoint(
        site=site, upstream=upstream, vault=vault, cookies=cookies, clock=clock, dice=dice
    )
    base = site.base_path
    routes = {
        f"{base}/authorize": for_browsers(authorize, dice),
        f"{base}/consent": for_browsers(consent, dice),
        f"{base}/callback": for_browsers(callback, dice),
        f"{base}/token": for_clients(TokenEndpoint(authenticate, grant_types), dice),
        f"{base}/revoke": for_clients(
            RevokeEndpoint(
                authenticate=authenticate, vault=vault, tokens=tokens, farewell=farewell
            ),
            dice,
        ),
    }
    introspect = IntrospectEndpoint(
        authenticate=authenticate,
        vault=vault,
        tokens=tokens,
        resource_servers={
            client.client_id: [config.issuer + path for path in client.introspects]
            for client in config.clients
        },
    )
    routes[f"{base}/introspect"] = for_clients(introspect, dice)
    ring = access_keys(config)
    if ring is not None:
        routes[f"{base}/jwks"] = for_clients(_document(dict(ring.jwks())), dice)
    if config.registration.enabled:
        register = RegisterEndpoint(
            client_ids=client_ids,
            policy=config.documents,
            clock=clock,
            dice=dice,
            token=config.registration.token,
        )
        routes[f"{base}/register"] = for_clients(register, dice)
    accepted = ClientsAccepted(
        registration=config.registration.enabled, documents=config.documents.enabled
    )
    for path, document in documents(site, accepted, keys=ring is not None).items():
        routes[path] = for_clients(_document(document), dice)
    return routes


def _document(content: dict[str, object]) -> Handler:
    """A handler that serves *content*, which does not change while the server runs."""

    async def endpoint(request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            raise InvalidRequest("use GET")
        return json_response(content, headers={"cache-control": "public, max-age=300"})

    return endpoint


async def _sweep(store: Store) -> None:
    """Remove expired records, a bounded batch at a time."""
    while await store.sweep() > 0:  # noqa: ASYNC110  (it waits for no event: it lets others in)
        await asyncio.sleep(0)


async def _forever(name: str, work: Callable[[], Awaitable[None]], *, pause: float) -> None:
    """Do *work* again and again; a store that was away comes back."""
    while True:
        try:
            await work()
        except StoreError as error:
            log.warning("%s: %s", name, error)
        await asyncio.sleep(pause)
