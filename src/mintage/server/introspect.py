"""``/introspect`` (RFC 7662): what a token is valid for, told only to clients that it concerns."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.clients.authentication import Authenticator, NothingConcerned
from mintage.clients.client import Client
from mintage.errors import InvalidClient, TokenError
from mintage.grant_tokens import Tokens, token_type
from mintage.grants.delegation import is_over
from mintage.jwt.claims import Claims
from mintage.server.introspection_jwt import IntrospectionResponses
from mintage.server.requests import Introspection
from mintage.values import ClientId
from mintage.vault.values import OpenGrant, Refused
from mintage.vault.vault import Vault
from mintage.web.edge import authorization_of, log_reason, read_form

_AUTHENTICATE: Final = (
    "introspection takes a client that authenticates itself: use one with a secret or a key"
)


class IntrospectEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """*resource_servers*: the resources whose tokens a client may ask about, besides its own.

    *denied*: whether a client was denied.
    """

    authenticate: Authenticator
    vault: Vault
    tokens: Tokens
    responses: IntrospectionResponses
    denied: Callable[[ClientId], bool]
    resource_servers: Mapping[ClientId, Collection[str]] = msgspec.field(default_factory=dict)

    async def __call__(self, request: Request) -> Response:
        """The token's claims while it is valid; for any other, only ``active: false``.

        The response does not tell whether a token is expired, revoked, somebody else's or made up
        (§2.2, §4). It is signed for a caller that asks for a JWT (RFC 9701). Raises `InvalidClient`
        for a caller that does not authenticate (§2.1).
        """
        form = await read_form(request)
        answer = partial(self.responses.make, signed=self.responses.wants_signature(request))
        authorization = authorization_of(request)
        if authorization is None and not form.keys() & {"client_id", "client_assertion"}:
            raise InvalidClient(_AUTHENTICATE, challenge=True)
        token = Introspection.parse(form).token
        try:
            concerns = partial(self._concerns, token)
            client = await self.authenticate(form, authorization, concerns=concerns)
        except NothingConcerned as nothing:
            log_reason(request, f"inactive, stage client: {nothing.reason}")
            return answer({"active": False}, nothing.client_id)
        if client.auth_method == "none":
            raise InvalidClient(_AUTHENTICATE)
        told = await self._describe(token, client)
        if isinstance(told, str):
            log_reason(request, f"inactive, {told}")
            told = {"active": False}
        return answer(told, client.client_id)

    async def _concerns(self, token: str, client: Client) -> bool:
        return not isinstance(await self._describe(token, client), str)

    async def _describe(self, token: str, client: Client) -> dict[str, Any] | str:
        """What the token is valid for; or, for the log, which check refuses it and why."""
        try:
            handle, claims = self.tokens.read_any(token)
        except TokenError as error:
            await self.vault.check_secrets(self.tokens.named_by_unknown_key(token, error))
            return f"stage token: {error.error}"
        mine = self.resource_servers.get(client.client_id, ())
        if claims.client_id != client.client_id and claims.aud not in mine:
            return f"stage client: the token is not for client {client.name}"
        outcome = await self.vault.live.authenticate(handle)
        if isinstance(outcome, Refused):
            return f"stage grant: {outcome.reason.value}, grant {handle.grant}"
        if handle.kind == "refresh" and handle.generation != outcome.grant.generation:
            return "stage grant: an older refresh token"
        delegation = self.tokens.delegation_of(token, handle, claims.aud)
        if is_over(outcome.grant, delegation):
            return "stage grant: revoked by the client that exchanged it"
        actors = () if delegation is None else delegation.actors
        if any(map(self.denied, (outcome.grant.login.client_id, *actors))):
            return "stage client: the operator has denied a client of this token"
        ends_at = min(claims.exp, self.vault.lifetimes.ends_at(outcome.grant))
        said = {} if delegation is None else delegation.claims()
        return _body(claims, outcome) | {"exp": int(ends_at)} | said


def _body(claims: Claims, opened: OpenGrant) -> dict[str, Any]:
    """RFC 7662 §2.2, with those of the upstream's claims that the token itself has."""
    identity = opened.grant.login.identity
    body: dict[str, Any] = {
        "active": True,
        "client_id": claims.client_id,
        "sub": identity.subject,
        "aud": claims.aud,
        "iss": claims.iss,
        "iat": claims.iat,
        "jti": claims.jti,
    }
    if claims.scope:
        body["scope"] = claims.scope
    if claims.token_use == "access":  # noqa: S105
        body["token_type"] = token_type(claims.cnf.jkt if claims.cnf else None)
    if claims.cnf is not None:
        body["cnf"] = claims.cnf  # RFC 9449 §6.2
    if claims.upstream_claims:
        body["upstream_claims"] = claims.upstream_claims
    return body
