"""Login for servers of the official MCP SDK.

::

    login = McpLogin.from_file("mintage.toml")
    server = MCPServer("notes", token_verifier=login.verifier(), auth=login.auth_settings())

    @server.tool()
    async def whoami() -> str:
        return current_user().subject

    app = login.app(server)

Mintage's endpoints answer, and the SDK's own authorization server is not used.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from mintage.extras import extra, needs

with extra("mcp"):
    needs("mcp")
    from mcp.server.auth.middleware.auth_context import get_access_token
    from mcp.server.auth.provider import AccessToken
    from mcp.server.auth.settings import AuthSettings
    from mcp.server.mcpserver import MCPServer
    from mcp.server.transport_security import TransportSecuritySettings
    from pydantic import PrivateAttr
from starlette.applications import Starlette
from starlette.routing import Route

from mintage.integrations.asgi import Guard, Login
from mintage.integrations.token_of_user import TokenOfUser
from mintage.integrations.token_verifier import TokenVerifier
from mintage.integrations.user import User
from mintage.site.resource import Resource

__all__ = ["McpLogin", "MintageAccessToken", "MintageTokenVerifier", "current_user"]


class MintageAccessToken(TokenOfUser, AccessToken):
    """What the SDK's `get_access_token` returns with a `MintageTokenVerifier`.

    It is the same object for all calls with a token whose login has not changed.
    """

    _user: User = PrivateAttr()


def current_user() -> User:
    """The user who called the tool that is running.

    Returns:
        The user.

    Raises:
        RuntimeError: There is no call, or the server has no `MintageTokenVerifier`.
    """
    token = get_access_token()
    if not isinstance(token, MintageAccessToken):
        raise RuntimeError(  # noqa: TRY004  (a fault of the application, not of an argument)
            "nobody is logged in here: the server needs token_verifier=login.verifier()"
        )
    return token.user


@dataclass(frozen=True, slots=True)
class MintageTokenVerifier:
    """A token verifier of the SDK for one resource. `McpLogin.verifier` makes it.

    Args:
        login: The login. It must be started when a token is verified.
        path: The path of the resource.
    """

    login: Login
    path: str
    _verifier: TokenVerifier[MintageAccessToken] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        verifier = TokenVerifier(self.login, self.path, MintageAccessToken.of)
        object.__setattr__(self, "_verifier", verifier)

    async def verify_token(self, token: str) -> MintageAccessToken | None:
        """Verify an access token. The SDK calls it.

        Args:
            token: The text of the token.

        Returns:
            The token with its user, or None if it is not valid at this resource. A token that is
            bound to a key is valid only in a request whose proof the middleware has checked.

        Raises:
            StoreError: The store can't be read just now, so the token can't be checked.
            RuntimeError: The login is not started; or the resource has rules about requests, and
                the middleware, which alone can apply them, is missing.
            LookupError: The login has no resource at this path.
        """
        return await self._verifier.verify(token)


class McpLogin(Login):
    """A `Login` with the objects that the SDK's servers take."""

    def verifier(self, path: str | None = None) -> MintageTokenVerifier:
        """The verifier for ``MCPServer(token_verifier=…)``.

        Args:
            path: The path of the resource. None: the only one.

        Returns:
            The verifier.

        Raises:
            ValueError: No resource has this path, or None is given and there are several.
        """
        return MintageTokenVerifier(self, self._resource(path).path)

    def auth_settings(self, path: str | None = None) -> AuthSettings:
        """The settings for ``MCPServer(auth=…)``.

        Args:
            path: The path of the resource. None: the only one.

        Returns:
            The SDK's settings.

        Raises:
            ValueError: No resource has this path, or None is given and there are several.
        """
        resource, issuer = self._resource(path), self.mintage.config.issuer
        # Parsed there, so that an issuer without a path gets no slash at its end.
        return AuthSettings.model_validate(
            {
                "issuer_url": issuer,
                "resource_server_url": resource.identifier,
                "required_scopes": resource.scopes,
                "validate_token_resource": True,
            }
        )

    def app(self, *servers: MCPServer, **options: Any) -> Guard:
        """The application of the servers, with the login around it, for an ASGI server to run.

        Args:
            servers: The servers. Each is served at the resource of its `auth_settings`.
            options: Options for the SDK's ``streamable_http_app``.

        Returns:
            An ASGI application.

        Raises:
            ValueError: A server has no `auth_settings`, or two have the same resource.
        """
        apps = {path: _app(server, path, options) for path, server in _by_path(servers).items()}

        @asynccontextmanager
        async def lifespan(_app: Starlette) -> AsyncIterator[None]:
            async with AsyncExitStack() as stack:
                for each in apps.values():
                    await stack.enter_async_context(each.router.lifespan_context(each))
                yield

        routes = [Route(path, endpoint=each) for path, each in apps.items()]
        return self.middleware(Starlette(routes=routes, lifespan=lifespan))

    def _resource(self, path: str | None) -> Resource:
        resources = self.mintage.config.resources
        if path is None and len(resources) == 1:
            return resources[0]
        for resource in resources:
            if resource.path == path:
                return resource
        known = ", ".join(resource.path for resource in resources)
        raise ValueError(f"path must name one of the resources: {known}")


def _by_path(servers: tuple[MCPServer, ...]) -> dict[str, MCPServer]:
    found: dict[str, MCPServer] = {}
    for server in servers:
        auth = server.settings.auth
        if auth is None or auth.resource_server_url is None:
            raise ValueError(f"{server.name} needs auth=login.auth_settings(), and a verifier")
        path = auth.resource_server_url.path or "/"
        if path in found:
            raise ValueError(f"{server.name} is at {path}, where {found[path].name} is already")
        found[path] = server
    return found


def _app(server: MCPServer, path: str, options: dict[str, Any]) -> Starlette:
    # By default the SDK accepts this machine's names alone. The middleware has looked at
    # Origin, and no page has a token to send.
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    chosen: dict[str, Any] = {"streamable_http_path": path, "transport_security": security}
    return server.streamable_http_app(**(chosen | options))
