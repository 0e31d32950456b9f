"""An issuer of assertions for tests: an enterprise's provider (ID-JAG), or a workload platform.

It publishes its keys over HTTP as a real one does. As an enterprise's provider it is strict: it
issues an ID-JAG only for what its administrator has allowed.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import uvicorn
from joserfc import jwk, jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mintage.testing.nanoidp import free_port
from mintage.testing.serving import serving
from mintage.values import Clock

ID_JAG = "oauth-id-jag+jwt"
"""The ``typ`` of an ID-JAG."""


class NotAllowed(Exception):
    """The administrator of the issuer has not allowed this."""


@dataclass
class AssertionIssuer:
    """An issuer of JWTs (RFC 7523). Change its attributes while it runs.

    Args:
        clock: Called for the time, in seconds since the epoch.
        url: Its issuer. `running` sets it.
        down: Whether its documents are answered with 503.
        lifetime: How many seconds its assertions live.
        allowed: Which clients may get an ID-JAG: client id, audience and resource of each.
        seen: The path of each request that came.
    """

    clock: Clock
    url: str = ""
    down: bool = False
    lifetime: int = 300
    allowed: set[tuple[str, str, str]] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = _new_key()
        self.published = [self.key]

    def rotate(self, *, publish: bool = True) -> None:
        """Sign with a new key from now on.

        Args:
            publish: Whether the key set has the new key.
        """
        self.key = _new_key()
        if publish:
            self.published.append(self.key)

    def assertion(
        self, *, typ: str | None = "JWT", key: jwk.Key | None = None, **claims: Any
    ) -> str:
        """A signed JWT with ``iss``, ``iat``, ``exp`` and ``jti``.

        Args:
            typ: The header's ``typ``. None: the header has none.
            key: Signs in place of the issuer's own key.
            claims: Further claims, or others. None as a value leaves one out.

        Returns:
            The compact JWS.
        """
        now, signing = int(self.clock()), key or self.key
        usual = {
            "iss": self.url,
            "iat": now,
            "exp": now + self.lifetime,
            "jti": secrets.token_hex(16),
        }
        said = {name: value for name, value in (usual | claims).items() if value is not None}
        header = {"alg": "ES256", "kid": signing.kid} | ({} if typ is None else {"typ": typ})
        return jwt.encode(header, said, signing)

    def id_jag(
        self, *, user: str, client_id: str, audience: str, resource: str, **claims: Any
    ) -> str:
        """An ID-JAG, as an enterprise's provider issues it (its draft, §3).

        Args:
            user: The ``sub`` of the user.
            client_id: The client's id at the server that gets the ID-JAG.
            audience: The issuer of that server.
            resource: The resource.
            claims: Further claims, such as ``scope`` and ``email``.

        Returns:
            The ID-JAG.

        Raises:
            NotAllowed: *allowed* does not have this client with this audience and resource.
        """
        if (client_id, audience, resource) not in self.allowed:
            raise NotAllowed(f"{client_id} may not get access to {resource} at {audience}")
        usual = {"sub": user, "client_id": client_id, "aud": audience, "resource": resource}
        return self.assertion(typ=ID_JAG, **usual | claims)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Serve its documents on a free loopback port for as long as the block lasts.

        Returns:
            An asynchronous context manager that gives the issuer.
        """
        port = free_port()
        self.url = self.url or f"http://127.0.0.1:{port}"
        config = uvicorn.Config(
            self.app(), host="127.0.0.1", port=port, log_level="critical", lifespan="off"
        )
        async with serving(uvicorn.Server(config)):
            yield self

    def app(self) -> Starlette:
        """Its documents as an ASGI application.

        Returns:
            The application.
        """
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/keys", self._keys),
            ]
        )

    async def _discovery(self, request: Request) -> Response:
        return self._answer(request, {"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def _keys(self, request: Request) -> Response:
        keys = [key.as_dict(private=False) for key in self.published]
        return self._answer(request, {"keys": keys})

    def _answer(self, request: Request, body: dict[str, Any]) -> Response:
        self.seen.append(request.url.path)
        return Response(status_code=503) if self.down else JSONResponse(body)


def _new_key() -> jwk.ECKey:
    return jwk.ECKey.generate_key("P-256", {"kid": secrets.token_hex(4)})
