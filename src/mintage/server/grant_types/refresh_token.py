"""``grant_type=refresh_token`` (RFC 6749 §6, with rotation as RFC 9700 §4.14.2 asks)."""

from collections.abc import Callable, Collection, Hashable
from typing import ClassVar

import msgspec

from mintage.clients.client import Client
from mintage.concurrency.rate_limits import no_limit
from mintage.errors import TokenError
from mintage.events.event import Emit, ignore
from mintage.events.tokens import TokenRefreshed
from mintage.grant_tokens import TokenResponse, Tokens
from mintage.grants.handles import store_key
from mintage.grants.states import Reason
from mintage.grants.transitions import Refreshment
from mintage.server.grant_type import TEXT, Members, Parameters, TokenRequest
from mintage.server.refusals import token_error
from mintage.server.requests import asked_scopes, named_resource
from mintage.server.token_answer import Answer
from mintage.site.site import Site
from mintage.trust.issuer import Purpose
from mintage.values import Scopes
from mintage.vault.values import Refused
from mintage.vault.vault import Vault
from mintage.web.forms import Form, one


class RefreshRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A token request with a refresh token (RFC 6749 §6). *scopes*: None for all."""

    refresh_token: str
    scopes: Scopes | None
    resource: str | None

    def __repr__(self) -> str:
        return f"RefreshRequest(scopes={self.scopes!r}, resource={self.resource!r})"

    @classmethod
    def parse(cls, form: Form, site: Site) -> "RefreshRequest":
        """Raises `InvalidRequest`, `InvalidScope`, `InvalidTarget`."""
        asked = asked_scopes(form)
        if asked is not None:
            asked = tuple(scope for scope in asked if scope != "offline_access") or None
        return cls(
            refresh_token=one(form, "refresh_token"),
            scopes=asked,
            resource=named_resource(form, site),
        )


class RefreshToken(msgspec.Struct, frozen=True, kw_only=True):
    """*limit* counts the refreshes of each login. A refused one changes nothing."""

    site: Site
    vault: Vault
    tokens: Tokens
    emit: Emit = ignore
    limit: Callable[[Hashable], None] = no_limit

    name: ClassVar[str] = "refresh_token"
    parameters: ClassVar = Parameters(
        needed={"refresh_token": TEXT},
        others={"scope": TEXT, "resource": TEXT},
    )

    @staticmethod
    def metadata(_: str, __: Collection[Purpose], /) -> Members:
        return {}

    async def concerns(self, form: Form, client: Client) -> bool:
        try:
            handle = self.tokens.read_refresh(one(form, "refresh_token"))
        except TokenError:
            return False
        return await self.vault.holds(handle.secret, client.client_id)

    async def issue(self, request: TokenRequest) -> TokenResponse:
        asked = RefreshRequest.parse(request.form, self.site)
        try:
            handle = self.tokens.read_refresh(asked.refresh_token)
        except TokenError as error:
            unverified = self.tokens.named_by_unknown_key(asked.refresh_token, error)
            await self.vault.check_secrets(unverified)
            refusal = token_error(Reason.UNKNOWN)
            refusal.reason = error.error
            raise refusal from None
        self.limit(store_key(handle.secret))
        refreshment = Refreshment(
            client_id=request.client.client_id,
            generation=handle.generation,
            scopes=asked.scopes,
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
            scopes=asked.scopes,
            jkt=request.jkt,
        )
        outcome = await self.vault.rotate(handle.secret, refreshment, answer)
        if isinstance(outcome, Refused):
            raise token_error(outcome.reason, handle.grant)
        response, party = answer(outcome), outcome.party(asked.resource)
        scopes = tuple(response.scope.split())
        self.emit(TokenRefreshed(party=party, scopes=scopes, repeated=outcome.repeated))
        return response
