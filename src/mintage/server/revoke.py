"""``/revoke`` (RFC 7009): any token of a grant ends the grant, also for public clients.

A backend that revokes a token that it got by token exchange ends what it got so, and no login.
A workload has no credentials of a client, so it does as a public client: it names the client of its
token. Its assertion would prove no more than the token does, which it may outlive.
"""

from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.clients.authentication import Authenticator, NothingConcerned
from mintage.clients.client import Client
from mintage.errors import TokenError
from mintage.grant_tokens import Tokens
from mintage.grants.handles import Handle
from mintage.grants.machines import WORKLOAD_PREFIX
from mintage.grants.states import Reason
from mintage.jwt.claims import Claims
from mintage.server.requests import Revocation
from mintage.values import ClientId
from mintage.vault.values import Refused
from mintage.vault.vault import Vault
from mintage.web.edge import NO_STORE, authorization_of, empty_response, log_reason, read_form
from mintage.web.forms import Form, optional


class RevokeEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    authenticate: Authenticator
    vault: Vault
    tokens: Tokens

    async def __call__(self, request: Request) -> Response:
        """200, even if there was nothing to end (§2.2): the token is invalid now."""
        form = await read_form(request)
        revocation = Revocation.parse(form)
        try:
            client_id = await self._client_id(form, authorization_of(request), revocation)
        except NothingConcerned as nothing:
            log_reason(request, f"nothing to revoke, stage client: {nothing.reason}")
            return empty_response(headers=NO_STORE)
        try:
            handle, claims = self.tokens.read_to_revoke(revocation.token)
        except TokenError as error:
            unverified = self.tokens.named_by_unknown_key(revocation.token, error)
            await self.vault.check_secrets(unverified)
            log_reason(request, f"nothing to revoke, stage token: {error.error}")
        else:
            outcome = await self._revoke(handle, claims, client_id)
            if outcome is not None:
                log_reason(request, f"grant {handle.grant}: {outcome}", grant=handle.grant)
        return empty_response(headers=NO_STORE)

    async def _client_id(
        self, form: Form, authorization: str | None, revocation: Revocation
    ) -> ClientId:
        if authorization is None and (workload := _workload(form)) is not None:
            return workload
        client = await self.authenticate(
            form, authorization, concerns=partial(self._concerns, revocation)
        )
        return client.client_id

    async def _revoke(self, handle: Handle, claims: Claims, client_id: ClientId) -> str | None:
        """What came of it, for the log; None if the event of the grant's end says it."""
        if handle.kind != "exchanged":
            reason = (await self.vault.revocation.revoke(handle, client_id)).reason
            return None if reason is Reason.CLIENT_REVOKED else reason.value
        if claims.client_id != client_id:
            return Reason.WRONG_CLIENT.value
        outcome = await self.vault.revocation.end_exchanges(handle, client_id, claims.iat)
        return outcome.reason.value if isinstance(outcome, Refused) else "exchanged tokens ended"

    async def _concerns(self, revocation: Revocation, client: Client) -> bool:
        try:
            handle, _ = self.tokens.read_any(revocation.token)
        except TokenError:
            return False
        return await self.vault.holds(handle.secret, client.client_id)


def _workload(form: Form) -> ClientId | None:
    """The workloads' client that the request names, if it has no credentials."""
    client_id = optional(form, "client_id")
    if client_id is None or not client_id.startswith(WORKLOAD_PREFIX):
        return None
    if form.keys() & {"client_secret", "client_assertion"}:
        return None
    return ClientId(client_id)
