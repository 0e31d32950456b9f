"""Login for servers of the official MCP SDK.

::

    login = McpLogin.from_file("mintage.toml")
    server = MCPServer("notes", token_verifier=login.verifier(), auth=login.auth_settings())

    @server.tool()
    async def whoami() -> str:
        return current_user().subject

    app = login.app(server)

The SDK's own handlers of an authorization server play no part in it: ours answer.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
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

from mintage.errors import InvalidToken
from mintage.integrations.asgi import Guard, Login
from mintage.integrations.user import User
from mintage.settings.resources import ResourceSection

__all__ = ["McpLogin", "MintageAccessToken", "MintageTokenVerifier", "current_user"]


class MintageAccessToken(AccessToken):
    """What the SDK's `get_access_token` gives, and the `User` with it."""

    _user: User = PrivateAttr()

    @classmethod
    def of(cls, token: str, user: User) -> "MintageAccessToken":
        made = cls(token=token, **user.as_token())
        made._user = user
        return made

    @property
    def user(self) -> User:
        return self._user


def current_user() -> User:
    """Who called the tool that is running. Raises ``RuntimeError`` outside of any call."""
    token = get_access_token()
    if not isinstance(token, MintageAccessToken):
        raise RuntimeError(  # noqa: TRY004  (a fault of the application, not of an argument)
            "nobody is logged in here: the server needs token_verifier=login.verifier()"
        )
    return token.user


@dataclass(frozen=True, slots=True)
class MintageTokenVerifier:
    """A token verifier of the SDK, for the resource at *path*."""

    login: Login
    path: str

    async def verify_token(self, token: str) -> MintageAccessToken | None:
        """Who the token is for; None where it is not valid here.

        Raises `StoreError` where that can't be known, and ``RuntimeError`` where rules would be
        left out: they are about requests, and the middleware alone sees those.
        """
        parts = self.login.running.parts
        resource = parts.site.resource(parts.site.issuer + self.path.rstrip("/"))
        if resource is None:
            raise LookupError(f"the login has no resource at {self.path}")
        if resource.rules and not self.login.guards:
            raise RuntimeError(f"{self.path} has rules: run login.app(server), which applies them")
        try:
            access = await parts.bearer.read(token, resource)
        except InvalidToken:
            return None
        return MintageAccessToken.of(token, User.of(access, resource, parts))


class McpLogin(Login):
    """A `Login` with what the SDK's servers take. *path* chooses among several resources."""

    def verifier(self, path: str | None = None) -> MintageTokenVerifier:
        """For ``MCPServer(token_verifier=…)``."""
        return MintageTokenVerifier(self, self._section(path).path)

    def auth_settings(self, path: str | None = None) -> AuthSettings:
        """For ``MCPServer(auth=…)``."""
        section, issuer = self._section(path), self.mintage.config.issuer
        # Parsed there, so that an issuer without a path gets no slash at its end.
        return AuthSettings.model_validate(
            {
                "issuer_url": issuer,
                "resource_server_url": section.below(issuer),
                "required_scopes": section.scopes,
                "validate_token_resource": True,
            }
        )

    def app(self, *servers: MCPServer, **options: Any) -> Guard:
        """The application of *servers* with the login around it, to be run by an ASGI server.

        Each is at the resource of its `auth_settings`. *options* are those of the SDK's
        ``streamable_http_app``.
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

    def _section(self, path: str | None) -> ResourceSection:
        sections = self.mintage.config.resources
        if path is None and len(sections) == 1:
            return sections[0]
        for section in sections:
            if section.path == path:
                return section
        known = ", ".join(section.path for section in sections)
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
    # Left to itself the SDK lets in this machine's names alone. The middleware has looked at
    # Origin, and no page has a token to send.
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    chosen: dict[str, Any] = {"streamable_http_path": path, "transport_security": security}
    return server.streamable_http_app(**(chosen | options))
