"""``/token``: the steps that all grant types share run here, so that none can omit one."""

from collections.abc import Iterable
from functools import partial
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from mintage.clients.authentication import Authenticator
from mintage.clients.client import Client
from mintage.errors import UnauthorizedClient, UnsupportedGrantType
from mintage.grant_tokens import TokenResponse
from mintage.server.client_address import KeptAddress, kept_address
from mintage.web.edge import NO_STORE, authorization_of, json_response, read_form
from mintage.web.forms import Form, one


class GrantType(Protocol):
    """One way to get a token. *name* is its ``grant_type`` (RFC 6749 §4)."""

    @property
    def name(self) -> str: ...

    async def concerns(self, form: Form, client: Client) -> bool:
        """Whether *form* names a grant of *client*, which a login has made."""

    async def issue(self, form: Form, client: Client, source: str | None) -> TokenResponse:
        """The tokens for *form*. Raises `OAuthError` to refuse.

        *source*: from which address the request came, if that is to be kept.
        """


class TokenEndpoint:
    """*kept*: what is kept of the addresses from which clients get tokens."""

    def __init__(
        self,
        authenticate: Authenticator,
        grant_types: Iterable[GrantType],
        kept: KeptAddress = "off",
    ) -> None:
        self._authenticate = authenticate
        self._kept = kept
        self._grant_types = {grant_type.name: grant_type for grant_type in grant_types}

    async def __call__(self, request: Request) -> Response:
        form = await read_form(request)
        grant_type = self._grant_types.get(name := one(form, "grant_type"))
        if grant_type is None:
            raise UnsupportedGrantType("grant_type must be one of: " + ", ".join(self._grant_types))
        client = await self._authenticate(
            form, authorization_of(request), concerns=partial(grant_type.concerns, form)
        )
        if name not in client.grant_types:
            raise UnauthorizedClient(
                f"this client did not register the grant type {name}: register again with it"
            )
        address = request.client.host if request.client else None
        issued = await grant_type.issue(form, client, kept_address(address, self._kept))
        return json_response(_body(issued), headers=NO_STORE)


def _body(issued: TokenResponse) -> dict[str, object]:
    body: dict[str, object] = {
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
    }
    if issued.scope:  # an empty one is none by its grammar (RFC 6749 §3.3)
        body["scope"] = issued.scope
    if issued.refresh_token is not None:
        body["refresh_token"] = issued.refresh_token
    return body
