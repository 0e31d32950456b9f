"""Client authentication (RFC 6749 §2.3): only the method that the client registered."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeAlias
from urllib.parse import unquote_plus

import msgspec

from mintage.clients import assertions
from mintage.clients.client import AuthMethod, Client
from mintage.clients.directory import Directory
from mintage.clients.published import Published
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import InvalidClient, InvalidGrant, InvalidRequest
from mintage.values import ClientId, Clock
from mintage.web.forms import Form, one, optional


class Claim(Protocol):
    async def __call__(self, name: bytes, *, expires_at: int) -> bool:
        """Claim *name*. Returns whether it was free, on all replicas."""


_MOST_HERE: Final = 10_000
_WAYS: Final = 3  # to authenticate: by header, by secret, by assertion


class ClaimsHere:
    """Claims that this process alone remembers, the newest of them. They cost no write."""

    def __init__(self) -> None:
        self._ends: BoundedMemory[bytes, int] = BoundedMemory(_MOST_HERE)

    async def __call__(self, name: bytes, *, expires_at: int) -> bool:
        """See `Claim`. A claim lasts longer than it must: what is claimed has ended by then."""
        if name in self._ends:
            return False
        self._ends[name] = expires_at
        return True


Concerns: TypeAlias = Callable[[Client], Awaitable[bool]]
"""Whether a request names something that a person's login has given to this client."""


class NothingConcerned(InvalidGrant):
    """A client without an operator's entry authenticated, and asked about nothing that it owns.

    Its assertion is not claimed: anyone may register keys, and each claim is a write to the store.
    """

    def __init__(self, client_id: ClientId) -> None:
        self.client_id = client_id
        super().__init__(
            "the code, refresh token or assertion is not valid (any more): get a new one",
            reason="the request names no grant of this client, so its assertion was not claimed",
        )


class Authenticator(msgspec.Struct, frozen=True, kw_only=True):
    """Authenticates clients, in the same way at every endpoint. *issuer* is this server's own.

    *claim* is for all replicas, *claim_here* for this process alone.
    """

    directory: Directory
    published: Published
    issuer: str
    claim: Claim
    clock: Clock
    claim_here: Claim = msgspec.field(default_factory=ClaimsHere)

    async def __call__(
        self, form: Form, authorization: str | None, *, concerns: Concerns | None
    ) -> Client:
        """The client that sent a token, revocation, introspection or other request.

        *authorization* is the header's value. *concerns* is called before the jti of an assertion
        is claimed for a client without an operator's entry. None: a request of this kind names
        nothing that a login has given, so such a jti is only remembered in this process. Raises
        `InvalidClient`;
        `InvalidRequest` if the request uses two methods at once (RFC 6749 §2.3);
        `NothingConcerned`.
        """
        secret = optional(form, "client_secret")
        assertion = optional(form, "client_assertion")
        if (authorization, secret, assertion).count(None) < _WAYS - 1:
            raise InvalidRequest("use one way of client authentication, not two")
        if authorization is not None:
            return await self._by_header(form, authorization)
        if assertion is not None:
            return await self._by_assertion(form, assertion, concerns)
        client = await self.directory.find(one(form, "client_id"))
        return _check(client, "none" if secret is None else "client_secret_post", secret)

    async def _by_header(self, form: Form, authorization: str) -> Client:
        try:
            client_id, secret = _basic(authorization)
            _check_same_client(form, client_id, "the Authorization header")
            return _check(await self.directory.find(client_id), "client_secret_basic", secret)
        except InvalidClient as error:
            raise InvalidClient(error.advice, reason=error.reason, challenge=True) from None

    async def _by_assertion(self, form: Form, assertion: str, concerns: Concerns | None) -> Client:
        """RFC 7521 §4.2. The jti is claimed last, so that an anonymous client causes no write."""
        if one(form, "client_assertion_type") != assertions.TYPE:
            raise InvalidRequest(f"client_assertion_type must be {assertions.TYPE}")
        client_id = assertions.claimed_client(assertion)
        _check_same_client(form, client_id, "client_assertion")
        client = _check(await self.directory.find(client_id), "private_key_jwt", None)
        verified = await self._verify(client, assertion)
        if not (client.vouched or concerns is None or await concerns(client)):
            raise NothingConcerned(client.client_id)
        name = f"client assertion\0{client_id}\0{verified.jti}".encode()
        stored = client.vouched or concerns is not None
        claim = self.claim if stored else self.claim_here
        if not await claim(name, expires_at=verified.expires_at):
            raise InvalidClient(
                "client_assertion was used before; make a new one for each request",
                reason="client assertion replayed",
            )
        return client

    async def _verify(self, client: Client, assertion: str) -> assertions.Assertion:
        keys = await self.published.keys(client)
        now = self.clock()
        for_us = {"client_id": client.client_id, "issuer": self.issuer}
        try:
            return assertions.verify(assertion, keys, **for_us, now=now)
        except assertions.UnknownSigner:
            if client.jwks_uri is None:
                raise
            newer = await self.published.keys(client, newer=True)
            return assertions.verify(assertion, newer, **for_us, now=now)


def _check(client: Client, method: AuthMethod, secret: str | None) -> Client:
    if method != client.auth_method:
        raise InvalidClient(f"this client registered {client.auth_method} and must use that")
    if secret is not None and not client.secret_matches(secret):
        remedy = "ask the operator of this server for it" if client.vouched else "register again"
        raise InvalidClient(
            f"client authentication failed: check the client_secret, or {remedy}",
            reason="wrong client_secret",
        )
    return client


def _check_same_client(form: Form, client_id: str, where: str) -> None:
    if optional(form, "client_id") not in (None, client_id):
        raise InvalidClient(f"client_id must be the one in {where}, or be left out")


def _basic(authorization: str) -> tuple[str, str]:
    """Client id and secret of ``Basic``: both form-encoded inside (RFC 6749 §2.3.1)."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient("the Authorization scheme must be Basic")
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode("utf-8")
        client_id, colon, secret = decoded.partition(":")
        if not colon:
            raise ValueError("no colon")
        return (
            unquote_plus(client_id, errors="strict"),
            unquote_plus(secret, errors="strict"),
        )
    except (binascii.Error, ValueError):
        raise InvalidClient(
            "Authorization must be Basic with base64 of client_id:client_secret, both form-encoded"
        ) from None
