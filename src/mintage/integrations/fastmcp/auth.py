"""The provider that FastMCP is given: its routes, its middleware, and who a token's user is."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from fastmcp.server.auth.auth import AuthProvider
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.authentication import AuthCredentials
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp

from mintage.app import Mintage
from mintage.errors import ConfigError
from mintage.gateway.headers import RawHeaders
from mintage.integrations.asgi import Guard, Login
from mintage.integrations.fastmcp.routes import Document, Unguarded
from mintage.integrations.fastmcp.tokens import MintageAccessToken
from mintage.integrations.opening import Opening
from mintage.integrations.token_verifier import TokenVerifier
from mintage.integrations.user import Table, User, config_of
from mintage.resource.bearer import credential
from mintage.server.metadata import documents
from mintage.settings.load import load
from mintage.site.resource import Resource
from mintage.site.targets import HttpTarget


class MintageAuth(AuthProvider):
    """A login for ``FastMCP(auth=…)``. The arguments are the settings of ``mintage.toml``.

    Args:
        issuer: The server's URL (RFC 8414 §2).
        upstream: The table ``[upstream]`` as a dict, or several of them. Only a server for machines
            alone has none.
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
        upstream: Table | Sequence[Table] | None = None,
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
        self._opening = Opening(self.login)
        self._verifier = TokenVerifier(self.login, path, MintageAccessToken.of)
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
        await self._opening.open()
        return await self._verifier.verify(token)

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
        return [Unguarded(self.login)]

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
        return [Route(path, endpoint=Document(self._opening)) for path in found]

    def get_middleware(self) -> list[Any]:
        """The middleware of the login. FastMCP calls it.

        Returns:
            The one that checks tokens, and the one that passes the user on to FastMCP.
        """
        return [Middleware(self._guard), Middleware(AuthContextMiddleware)]

    def _guard(self, app: ASGIApp) -> Guard:
        return Guard(app, self.login, open_late=self._opening.open, describe=_described)

    async def open(self) -> None:
        """Start the login if no lifespan has started it. It is closed when the event loop ends.

        FastMCP does not forward the lifespan to the provider of a mounted application.

        Raises:
            RuntimeError: It is open in another event loop or process, or was closed meanwhile.
        """
        await self._opening.open()

    async def close(self) -> None:
        """Stop what `open` has started."""
        await self._opening.close()


def _described(headers: RawHeaders, user: User) -> Mapping[str, Any]:
    """What FastMCP and the SDK look for in the scope of a request with these *headers*."""
    _, token = credential(headers)
    authenticated = AuthenticatedUser(MintageAccessToken.of(token, user))
    return {"user": authenticated, "auth": AuthCredentials(authenticated.scopes)}
