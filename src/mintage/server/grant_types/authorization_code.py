"""``grant_type=authorization_code`` (RFC 6749 §4.1.3, RFC 7636 §4.5)."""

from dataclasses import dataclass
from typing import ClassVar

from mintage.clients.client import Client
from mintage.events.event import Emit, ignore
from mintage.events.tokens import TokenIssued
from mintage.grant_tokens import TokenResponse, Tokens
from mintage.grants.handles import parse_code
from mintage.grants.states import Reason
from mintage.grants.transitions import Redemption
from mintage.server.grant_types.answer import Answer
from mintage.server.grant_types.grant_type import TokenRequest
from mintage.server.refusals import token_error
from mintage.server.requests import RedeemCode
from mintage.site.site import Site
from mintage.vault.values import Refused
from mintage.vault.vault import Vault
from mintage.web.forms import Form, one


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCode:
    site: Site
    vault: Vault
    tokens: Tokens
    emit: Emit = ignore

    name: ClassVar[str] = "authorization_code"

    async def concerns(self, form: Form, client: Client) -> bool:
        parsed = parse_code(one(form, "code"))
        return parsed is not None and await self.vault.holds(parsed[0], client.client_id)

    async def issue(self, request: TokenRequest) -> TokenResponse:
        asked = RedeemCode.parse(request.form, self.site)
        parsed = parse_code(asked.code)
        if parsed is None:
            raise token_error(Reason.UNKNOWN)
        secret, code_hash = parsed
        redemption = Redemption(
            client_id=request.client.client_id,
            code_hash=code_hash,
            code_verifier=asked.code_verifier,
            redirect_uri=asked.redirect_uri,
            resource=asked.resource,
            source=request.source,
            jkt=request.jkt,
            public=request.client.is_public,
        )
        answer = Answer(
            tokens=self.tokens,
            site=self.site,
            client=request.client,
            resource=asked.resource,
            jkt=request.jkt,
        )
        outcome = await self.vault.redeem(secret, redemption, answer)
        if isinstance(outcome, Refused):
            raise token_error(outcome.reason)
        response, party = answer(outcome), outcome.party(asked.resource)
        scopes = tuple(response.scope.split())
        self.emit(TokenIssued(party=party, grant_type=self.name, scopes=scopes))
        return response
