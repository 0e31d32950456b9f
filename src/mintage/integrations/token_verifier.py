"""Verifies tokens for a framework that asks with nothing but a token's text."""

from collections.abc import Callable
from typing import Generic, TypeVar

from mintage.errors import InvalidToken
from mintage.gateway.proven import PROVEN
from mintage.integrations.asgi import Login
from mintage.integrations.user import PerGrant, User

T = TypeVar("T")


class TokenVerifier(Generic[T]):
    """Verifies for the resource of *login* at *path*.

    *describe* makes of a token and its user what the framework is given for them.
    """

    def __init__(self, login: Login, path: str, describe: Callable[[str, User], T]) -> None:
        self._login = login
        self._path = path
        self._describe = describe
        self._described: PerGrant[T] = PerGrant()

    async def verify(self, token: str) -> T | None:
        """What *describe* makes; None for a token that is not valid at the resource.

        A token that is bound to a key is valid only in a request whose proof the middleware has
        checked. Raises `StoreError` if nothing is known, `LookupError` if there is no such
        resource, and `RuntimeError` if the login is not started, or if the resource has rules about
        requests, and the middleware is missing, which alone can apply them.
        """
        running = self._login.running
        resource = running.site.resource(running.site.issuer + self._path.rstrip("/"))
        if resource is None:
            raise LookupError(f"the login has no resource at {self._path}")
        if resource.rules and not self._login.guards:
            raise RuntimeError(
                f"{self._path} has rules about requests: serve the application with the login's "
                "middleware, which applies them: FastMCP's http_app(), or login.app(server)"
            )
        try:
            access = await running.bearer.read(token, resource, proven=PROVEN.get() == token)
        except InvalidToken:
            return None
        described = self._described.of(access)
        if described is None:
            user = User.of(access, resource, running.site.hierarchy, running.vault)
            described = self._described.keep(access, self._describe(token, user))
        return described
