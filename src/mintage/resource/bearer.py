"""From a request's headers to a live grant, or to the refusal that RFC 6750 asks for."""

from dataclasses import dataclass, field

from mintage.errors import (
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    OAuthError,
    TokenError,
)
from mintage.site import Resource
from mintage.tokens import Tokens
from mintage.values import Scopes
from mintage.vault.values import Opened, Refused
from mintage.vault.vault import Vault


class NoToken(OAuthError):
    """No credentials at all: 401 without an error code (RFC 6750 §3.1)."""

    code = "invalid_token"
    status = 401


@dataclass(frozen=True, slots=True)
class Access:
    """A request that may pass: the live grant, and what its token was granted."""

    opened: Opened = field(repr=False)
    scopes: Scopes


@dataclass(frozen=True, slots=True)
class Bearer:
    """Checks bearer tokens for the resources of one server."""

    tokens: Tokens
    vault: Vault

    async def check(self, headers: list[tuple[bytes, bytes]], resource: Resource) -> Access:
        """The access that the ``Authorization`` header gives to *resource*.

        Raises `NoToken`, `InvalidRequest`, `InvalidToken`, `InsufficientScope`; and
        `StoreUnavailable` where it can't be known, which is no refusal.
        """
        token = bearer_token(headers)
        try:
            handle, scopes = self.tokens.read_access(token, resource.identifier)
        except TokenError as error:
            raise InvalidToken("the access token is not valid here", reason=error.error) from None
        outcome = await self.vault.authenticate(handle)
        if isinstance(outcome, Refused):
            raise InvalidToken("the access token was revoked", reason=outcome.reason.value)
        if not set(resource.scopes) <= set(scopes):
            raise InsufficientScope("this needs the scopes: " + " ".join(resource.scopes))
        return Access(outcome, scopes)


def bearer_token(headers: list[tuple[bytes, bytes]]) -> str:
    """The token of the one ``Authorization: Bearer`` header (RFC 6750 §2.1)."""
    found = [value for name, value in headers if name == b"authorization"]
    if not found:
        raise NoToken("an access token is needed")
    if len(found) > 1:
        raise InvalidRequest("Authorization must be given once")
    scheme, _, token = found[0].decode("latin-1").partition(" ")
    if scheme.lower() != "bearer":
        raise NoToken("the Authorization scheme must be Bearer")
    token = token.strip(" ")
    if not token or " " in token:
        raise InvalidRequest("Authorization must hold one token after Bearer")
    return token
