"""``/revoke`` (RFC 7009): any token of a grant ends the grant, also for public clients."""

from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from mintage.clients.authentication import Authenticator, NothingConcerned
from mintage.clients.client import Client
from mintage.errors import TokenError
from mintage.grant_tokens import Tokens
from mintage.server.requests import Revocation
from mintage.vault.vault import Vault
from mintage.web.edge import NO_STORE, authorization_of, log_reason, read_form


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeEndpoint:
    authenticate: Authenticator
    vault: Vault
    tokens: Tokens

    async def __call__(self, request: Request) -> Response:
        """200, even if there was nothing to end (§2.2): the token is invalid now."""
        form = await read_form(request)
        revocation = Revocation.parse(form)
        try:
            client = await self.authenticate(
                form, authorization_of(request), concerns=partial(self._concerns, revocation)
            )
        except NothingConcerned as nothing:
            log_reason(request, f"nothing to revoke, stage client: {nothing.reason}")
            return Response(status_code=200, headers=NO_STORE)
        try:
            handle = self.tokens.read_to_revoke(revocation.token)
        except TokenError as error:
            unverified = self.tokens.named_by_unknown_key(revocation.token, error)
            await self.vault.check_secrets(unverified)
            log_reason(request, f"nothing to revoke, stage token: {error.error}")
        else:
            outcome = await self.vault.revoke(handle, client.client_id)
            log_reason(request, f"{handle!r}: {outcome.reason.value}")
        return Response(status_code=200, headers=NO_STORE)

    async def _concerns(self, revocation: Revocation, client: Client) -> bool:
        try:
            handle, _ = self.tokens.read_any(revocation.token)
        except TokenError:
            return False
        return await self.vault.holds(handle.secret, client.client_id)
