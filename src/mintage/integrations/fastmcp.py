"""Login for servers of FastMCP.

::

    auth = MintageAuth(
        issuer="https://notes.example.com",
        upstream={"preset": "github", "client_id": "…", "client_secret": "env:GITHUB_SECRET"},
    )
    mcp = FastMCP("notes", auth=auth)

    @mcp.tool
    async def repositories() -> list[str]:
        return await ask_github(await upstream_token())

Mintage's endpoints answer in the same application, and FastMCP's own authorization server is not
used. To keep FastMCP's ``OAuthProxy`` and only change who issues its tokens, call
`use_mintage_issuer`.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from mintage.extras import extra, needs

with extra("fastmcp"):
    needs("fastmcp")
    from fastmcp.server.auth.auth import AccessToken, AuthProvider
    from fastmcp.server.auth.oauth_proxy import OAuthProxy
    from fastmcp.server.dependencies import get_access_token
    from mcp.server.auth.middleware.auth_context import auth_context_var
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from pydantic import PrivateAttr
from starlette.authentication import AuthCredentials
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mintage.app import Mintage
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import ConfigError, InvalidToken
from mintage.gateway.proven import PROVEN
from mintage.integrations.asgi import PASSED, Guard, Login
from mintage.integrations.user import Table, User, config_of
from mintage.jwt.issuer import JWTIssuer
from mintage.jwt.keyring import KeyRing
from mintage.resource.bearer import credential
from mintage.server.metadata import documents
from mintage.settings.load import load
from mintage.site.resource import Resource
from mintage.site.targets import HttpTarget
from mintage.web.edge import json_response

__all__ = [
    "MintageAccessToken",
    "MintageAuth",
    "current_user",
    "upstream_token",
    "use_mintage_issuer",
]

log = logging.getLogger("mintage.integrations")

_Proxy = TypeVar("_Proxy", bound=OAuthProxy)

_MAX_KNOWN: Final = 2000


class MintageAccessToken(AccessToken):
    """What FastMCP's `get_access_token` returns under a `MintageAuth`."""

    _user: User = PrivateAttr()

    @classmethod
    def of(cls, token: str, user: User) -> "MintageAccessToken":
        """Make the token of a user. Code of this package calls it.

        Args:
            token: The text of the access token.
            user: Its user.

        Returns:
            The token.
        """
        made = cls(token=token, **user.as_token())
        made._user = user
        return made

    @property
    def user(self) -> User:
        """The user of the token."""
        return self._user


def current_user() -> User:
    """The user who called the tool that is running.

    Returns:
        The user.

    Raises:
        RuntimeError: There is no call, or the server has no `MintageAuth`.
    """
    token = get_access_token()
    if not isinstance(token, MintageAccessToken):
        raise RuntimeError(  # noqa: TRY004  (a fault of the application, not of an argument)
            "nobody is logged in here: the server needs FastMCP(auth=MintageAuth(…))"
        )
    return token.user


async def upstream_token() -> str:
    """The access token of the current user at the identity provider, renewed if it is about to end.

    Returns:
        The token.

    Raises:
        InvalidToken: The login has ended at the provider: the user must log in again.
        UpstreamError: The provider can't be asked just now.
        StoreError: The store can't be read just now.
        RuntimeError: There is no call, or the server has no `MintageAuth`.
    """
    return await current_user().upstream_token()


class MintageAuth(AuthProvider):
    """A login for ``FastMCP(auth=…)``. The arguments are the settings of ``mintage.toml``.

    Args:
        issuer: The server's URL (RFC 8414 §2).
        upstream: The table ``[upstream]`` as a dict, or several of them.
        path: The path at which FastMCP serves, below *issuer*.
        scopes: The scopes that every token of the resource must have.
        resource: More settings of the resource's table.
        more: The other sections and settings by their names: ``store``, ``secret``, ``tokens``, …

    Raises:
        ConfigError: A setting is missing or wrong.
    """

    def __init__(
        self,
        *,
        issuer: str,
        upstream: Table | Sequence[Table],
        path: str = "/mcp",
        scopes: Iterable[str] = (),
        resource: Table | None = None,
        **more: Any,
    ) -> None:
        section = {"path": path, "scopes": list(scopes)} | dict(resource or {})
        config = config_of(issuer=issuer, upstream=upstream, resource=section, **more)
        self._take(Mintage(config), path)

    @classmethod
    def from_file(cls, file: str | Path, *, path: str = "/mcp") -> Self:
        """A login with the settings of a file.

        Args:
            file: The TOML file.
            path: The path at which FastMCP serves. The file has a resource for it, without a
                ``backend``.

        Returns:
            The login.

        Raises:
            ConfigError: A setting is missing or wrong.
        """
        return cls.of(Mintage(load(Path(file))), path=path)

    @classmethod
    def of(cls, mintage: Mintage, *, path: str = "/mcp") -> Self:
        """A login around a `Mintage` that you made yourself.

        Args:
            mintage: What `create_app` returned. It must not be started elsewhere.
            path: The path at which FastMCP serves, as in `from_file`.

        Returns:
            The login.

        Raises:
            ConfigError: No resource without a ``backend`` has this path.
        """
        auth = cls.__new__(cls)
        auth._take(mintage, path)  # noqa: SLF001  (its own)
        return auth

    def _take(self, mintage: Mintage, path: str) -> None:
        self.login, self._path = Login.of(mintage), path
        self._holding: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None
        self._known: BoundedMemory[int, tuple[User, AuthenticatedUser]] = BoundedMemory(_MAX_KNOWN)
        scopes = list(self._resource().scopes)
        super().__init__(base_url=mintage.config.issuer, required_scopes=scopes)

    def _resource(self) -> Resource:
        for resource in self.login.mintage.config.resources:
            if resource.path == self._path and not isinstance(resource.target, HttpTarget):
                return resource
        raise ConfigError("resource", f"none without a backend has the path {self._path}")

    async def verify_token(self, token: str) -> MintageAccessToken | None:
        """Verify an access token. FastMCP calls it.

        Args:
            token: The text of the token.

        Returns:
            The token with its user, or None if it is not valid at this resource. A token that is
            bound to a key is valid only in a request whose proof the middleware has checked.

        Raises:
            StoreError: The store can't be read just now, so the token can't be checked.
            RuntimeError: The resource has rules about requests, and the middleware, which alone can
                apply them, is missing.
        """
        await self.open()
        running = self.login.running
        resource = running.site.resource(running.site.issuer + self._path)
        if resource is None:
            return None
        if resource.rules and not self.login.guards:
            raise RuntimeError(
                f"{self._path} has rules about requests: serve the application of "
                "FastMCP(auth=…).http_app(), whose middleware applies them"
            )
        try:
            access = await running.bearer.read(token, resource, proven=PROVEN.get() == token)
        except InvalidToken:
            return None
        user = User.of(access, resource, running.site.hierarchy, running.vault)
        return MintageAccessToken.of(token, user)

    def get_routes(self, mcp_path: str | None = None) -> list[Route]:
        """The routes for FastMCP to add. FastMCP calls it.

        The middleware serves all of Mintage's paths. The one route here answers only if the
        middleware is missing, with an error that says so.

        Args:
            mcp_path: The path at which FastMCP serves.

        Returns:
            One route.

        Raises:
            ValueError: FastMCP serves at another path than the one given to this login.
        """
        self.set_mcp_path(mcp_path)
        served = None if mcp_path is None else mcp_path.rstrip("/") or "/"
        if served not in (None, self._path):
            issuer = self.login.mintage.config.issuer
            raise ValueError(
                f"FastMCP serves {served} and the login protects {self._path}: give "
                f"MintageAuth(path={served!r}). If another application mounts it at {self._path}, "
                f"give MintageAuth(issuer={issuer + self._path!r}, path={served!r})"
            )
        return [_Unguarded(self)]

    def get_well_known_routes(self, mcp_path: str | None = None) -> list[Route]:
        """The metadata documents for the root of a server that mounts FastMCP (RFC 8414 §3).

        Args:
            mcp_path: The path at which FastMCP serves.

        Returns:
            A route for each document.

        Raises:
            ValueError: FastMCP serves at another path than the one given to this login.
        """
        self.get_routes(mcp_path)
        config = self.login.mintage.config
        paths = documents(config.site, config.capabilities)
        found = [path for path in paths if path.startswith("/.well-known/")]
        return [Route(path, endpoint=_Document(self)) for path in found]

    def get_middleware(self) -> list[Any]:
        """The middleware of the login. FastMCP calls it.

        Returns:
            The one that checks tokens, and the one that passes the user on to FastMCP.
        """
        return [Middleware(_Front, auth=self), Middleware(_Bridge, auth=self)]

    async def open(self) -> None:
        """Start the login if no lifespan has started it. It is closed when the event loop ends.

        FastMCP does not forward the lifespan to the provider of a mounted application.

        Raises:
            RuntimeError: It is open in another event loop or process, or was closed meanwhile.
        """
        self.login.check_place()
        if self.login.is_running:
            return
        if self._holding is None or self._holding.done():
            self._opened = asyncio.get_running_loop().create_future()
            self._holding = asyncio.create_task(self._hold(self._opened))
            self._holding.add_done_callback(partial(_tell_those_who_wait, self._opened))
        if self._opened is not None:
            await asyncio.shield(self._opened)

    async def close(self) -> None:
        """Stop what `open` has started."""
        if self._holding is not None:
            self._holding.cancel()
            await asyncio.wait([self._holding])

    async def _hold(self, opened: "asyncio.Future[None]") -> None:
        try:
            async with self.login.lifespan():
                opened.set_result(None)
                await asyncio.Event().wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)

    def user(self, headers: list[tuple[bytes, bytes]], user: User) -> AuthenticatedUser:
        """The user as FastMCP represents one, cached for as long as *user* is the same object.

        Args:
            headers: The headers of the request.
            user: The user of the request.

        Returns:
            FastMCP's user.
        """
        known = self._known.get(id(user))
        if known is not None and known[0] is user:
            return known[1]
        made = AuthenticatedUser(MintageAccessToken.of(credential(headers)[1], user))
        self._known[id(user)] = (user, made)
        return made


def _tell_those_who_wait(opened: "asyncio.Future[None]", _: "asyncio.Task[None]") -> None:
    """The login was closed before it was open: tell callers of `open`, if there are any."""
    if not opened.done():
        opened.set_exception(RuntimeError("the login was closed while it was opened"))
        opened.exception()  # it is no fault if no caller waits


class _Front:
    """The login's middleware. It starts the login if no lifespan did."""

    def __init__(self, app: ASGIApp, auth: MintageAuth) -> None:
        self._guard: Guard = auth.login.middleware(app)
        self._auth = auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Where it is open already, the guard checks that this is the right place.
        if not self._auth.login.is_running and scope["type"] != "lifespan":
            await self._auth.open()
        await self._guard(scope, receive, send)


class _Unguarded(Route):
    """Comes before FastMCP's own route, and answers only where the middleware did not run.

    That happens if the routes were copied into another application. Without the middleware there
    is no login, and FastMCP would refuse every request without a reason.
    """

    def __init__(self, auth: MintageAuth) -> None:
        super().__init__("/{path:path}", endpoint=_refuse_unguarded, include_in_schema=False)
        self.methods = None  # any
        self._auth = auth

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if self._auth.login.guards and PASSED in scope:
            return Match.NONE, {}
        return super().matches(scope)


async def _refuse_unguarded(request: Request) -> Response:
    log.error(
        "%s: FastMCP's routes are in an application without the login's middleware and lifespan; "
        "do not copy them: add Mount('/', app=mcp_app) and give lifespan=mcp_app.lifespan",
        request.url.path,
    )
    return json_response(
        {"error": "server_error", "error_description": "the login of this server is not set up"},
        status=500,
    )


@dataclass(frozen=True, slots=True)
class _Bridge:
    """Passes the user that the login admitted on to FastMCP."""

    app: ASGIApp
    auth: MintageAuth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        who = scope.get("mintage.user")
        if not isinstance(who, User):
            return await self.app(scope, receive, send)
        user = self.auth.user(scope["headers"], who)
        scope["user"], scope["auth"] = user, AuthCredentials(user.scopes)
        token = auth_context_var.set(user)
        try:
            return await self.app(scope, receive, send)
        finally:
            auth_context_var.reset(token)


@dataclass(frozen=True, slots=True)
class _Document:
    """Serves a document of the login outside of FastMCP's application."""

    auth: MintageAuth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.auth.open()
        await self.auth.login.mintage(scope, receive, send)


def use_mintage_issuer(proxy: _Proxy, *, former_keys: Iterable[bytes] = ()) -> _Proxy:
    """Let FastMCP's ``OAuthProxy`` issue and verify tokens with Mintage's `JWTIssuer`.

    The tokens stay the same, so those from before stay valid.

    Args:
        proxy: The ``OAuthProxy``, or a provider built on it.
        former_keys: HS256 keys whose tokens are still accepted, such as one that came from a client
            secret which you replaced. Each has at least 32 bytes.

    Returns:
        *proxy*, changed.
    """
    theirs, former = proxy.set_mcp_path, list(former_keys)

    def set_mcp_path(mcp_path: str | None) -> None:
        theirs(mcp_path)
        made, key = proxy.jwt_issuer, proxy._jwt_signing_key  # noqa: SLF001
        ring = KeyRing(key, former) if former else KeyRing.of_one(key)
        proxy._jwt_issuer = JWTIssuer(made.issuer, made.audience, ring)  # noqa: SLF001

    proxy.set_mcp_path = set_mcp_path
    return proxy
