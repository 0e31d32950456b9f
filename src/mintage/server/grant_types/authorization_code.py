"""``grant_type=authorization_code`` (RFC 6749 §4.1.3, RFC 7636 §4.5)."""

from dataclasses import dataclass
from typing import ClassVar

from mintage.clients.client import Client
from mintage.grant_tokens import TokenResponse, Tokens
from mintage.server.grant_types.answer import Answer
from mintage.server.refusals import token_error
from mintage.server.requests import RedeemCode
from mintage.server.upstream_revoker import UpstreamRevoker
from mintage.site import Site
from mintage.vault.values import Refused
from mintage.vault.vault import Vault
from mintage.web.forms import Form, one


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCode:
    site: Site
    vault: Vault
    tokens: Tokens
    revoker: UpstreamRevoker

    name: ClassVar[str] = "authorization_code"

    async def concerns(self, form: Form, client: Client) -> bool:
        return await self.vault.holds_code(one(form, "code"), client.client_id)

    async def issue(self, form: Form, client: Client) -> TokenResponse:
        request = RedeemCode.parse(form, self.site)
        answer = Answer(
            tokens=self.tokens, site=self.site, client=client, resource=request.resource
        )
        outcome = await self.vault.redeem(
            request.code,
            client_id=client.client_id,
            code_verifier=request.code_verifier,
            redirect_uri=request.redirect_uri,
            resource=request.resource,
            prepare=answer,
        )
        if isinstance(outcome, Refused):
            self.revoker(outcome)
            raise token_error(outcome.reason)
        return answer(outcome)
