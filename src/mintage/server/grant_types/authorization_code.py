"""``grant_type=authorization_code`` (RFC 6749 §4.1.3, RFC 7636 §4.5)."""

import re
from collections.abc import Collection
from typing import ClassVar, Final

import msgspec

from mintage.clients.client import Client
from mintage.errors import InvalidRequest
from mintage.events.event import Emit, ignore
from mintage.events.tokens import TokenIssued
from mintage.grant_tokens import TokenResponse, Tokens
from mintage.grants.handles import grant_id, parse_code, store_key
from mintage.grants.states import Reason
from mintage.grants.transitions import Redemption
from mintage.partly_shown import PartlyShown
from mintage.server.grant_type import TEXT, Members, Parameters, TokenRequest
from mintage.server.refusals import token_error
from mintage.server.requests import named_resource
from mintage.server.token_answer import Answer
from mintage.site.site import Site
from mintage.trust.issuer import Purpose
from mintage.vault.values import Refused
from mintage.vault.vault import Vault
from mintage.web.forms import Form, one, optional

_PKCE: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 §4.1


class CodeRequest(PartlyShown, frozen=True, kw_only=True):
    """A token request with an authorization code (RFC 6749 §4.1.3)."""

    not_shown = ("code", "code_verifier")

    code: str
    code_verifier: str
    redirect_uri: str | None
    resource: str | None

    @classmethod
    def parse(cls, form: Form, site: Site) -> "CodeRequest":
        """Raises `InvalidRequest`, `InvalidTarget`."""
        verifier = one(form, "code_verifier")
        if not _PKCE.fullmatch(verifier):
            raise InvalidRequest(
                "code_verifier must be 43 to 128 characters from A-Z a-z 0-9 - . _ ~"
            )
        return cls(
            code=one(form, "code"),
            code_verifier=verifier,
            redirect_uri=optional(form, "redirect_uri"),
            resource=named_resource(form, site),
        )


class AuthorizationCode(msgspec.Struct, frozen=True, kw_only=True):
    site: Site
    vault: Vault
    tokens: Tokens
    emit: Emit = ignore

    name: ClassVar[str] = "authorization_code"
    parameters: ClassVar = Parameters(
        needed={"code": TEXT, "code_verifier": TEXT | {"pattern": f"^{_PKCE.pattern}$"}},
        others={"redirect_uri": TEXT, "resource": TEXT},
    )

    @staticmethod
    def metadata(_: str, __: Collection[Purpose], /) -> Members:
        """RFC 8414 §2 and RFC 9207 §3, about the authorization response."""
        return {
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    async def concerns(self, form: Form, client: Client) -> bool:
        parsed = parse_code(one(form, "code"))
        return parsed is not None and await self.vault.holds(parsed[0], client.client_id)

    async def issue(self, request: TokenRequest) -> TokenResponse:
        asked = CodeRequest.parse(request.form, self.site)
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
            raise token_error(outcome.reason, grant_id(store_key(secret)))
        response, party = answer(outcome), outcome.party(asked.resource)
        scopes = tuple(response.scope.split())
        self.emit(TokenIssued(party=party, grant_type=self.name, scopes=scopes))
        return response
