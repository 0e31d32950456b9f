"""Login for Starlette, FastAPI and every other ASGI application.

::

    login = Login.from_file("mintage.toml")
    app = FastAPI()
    app.add_middleware(login.middleware)

    @app.get("/api/me")
    async def me(user: Annotated[User, Depends(require("profile"))]) -> dict[str, str]:
        return {"subject": user.subject}
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mintage.extras import extra

with extra("server"):
    from starlette.requests import HTTPConnection

from mintage.integrations import asgi
from mintage.integrations.asgi import Login
from mintage.integrations.user import User

__all__ = ["Login", "User", "guard", "require", "user_of"]

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])

_CONNECTIONS = frozenset({"connection", "request", "websocket"})


def user_of(connection: HTTPConnection) -> User:
    """The user of a request or a WebSocket below a resource of the login.

    Args:
        connection: The ``Request`` or ``WebSocket``.

    Returns:
        The user.

    Raises:
        RuntimeError: No token was asked for: the path is below no resource, or the middleware is
            missing.
    """
    return asgi.user_of(connection.scope)


@dataclass(frozen=True, slots=True)
class Requirement:
    """A dependency that returns the `User` if the token has all of *scopes*."""

    scopes: tuple[str, ...]

    async def __call__(self, connection: HTTPConnection) -> User:
        user = user_of(connection)
        user.require(*self.scopes)
        return user


def require(*scopes: str) -> Requirement:
    """A dependency for FastAPI: ``Annotated[User, Depends(require("notes:write"))]``.

    A client whose token lacks a scope gets 403 and the list of scopes to ask for (RFC 6750 §3.1).

    Args:
        scopes: The scopes that the endpoint needs. Each is one of the resource's ``scopes`` or
            ``optional_scopes``.

    Returns:
        What ``Depends`` takes. It gives the `User`.
    """
    return Requirement(scopes)


def guard(*scopes: str) -> Callable[[_Endpoint], _Endpoint]:
    """A decorator for endpoints of Starlette that need scopes.

    A client whose token lacks a scope gets 403 and the list of scopes to ask for (RFC 6750 §3.1).

    Args:
        scopes: The scopes that the endpoint needs, as in `require`.

    Returns:
        The decorator. The endpoint must have a parameter ``request``, ``websocket`` or
        ``connection``.

    Raises:
        TypeError: The endpoint has no such parameter, or is called without it.
    """

    def decorate(endpoint: _Endpoint) -> _Endpoint:
        if _CONNECTIONS.isdisjoint(inspect.signature(endpoint).parameters):
            raise TypeError(f"{endpoint} needs a parameter: request, or websocket")
        guarded: Any = functools.wraps(endpoint)(_guarded(endpoint, scopes))
        same: _Endpoint = guarded
        return same

    return decorate


def _guarded(endpoint: Callable[..., Any], scopes: tuple[str, ...]) -> Callable[..., Any]:
    def check(*given: Any) -> None:
        for connection in given:
            if isinstance(connection, HTTPConnection):
                return user_of(connection).require(*scopes)
        raise TypeError(f"{endpoint} was called without its request")

    if not inspect.iscoroutinefunction(endpoint):

        def guarded(*args: Any, **named: Any) -> Any:
            check(*args, *named.values())
            return endpoint(*args, **named)

        return guarded

    async def guarded_later(*args: Any, **named: Any) -> Any:
        check(*args, *named.values())
        return await endpoint(*args, **named)

    return guarded_later
