"""What grant types share for which nobody logs in here: one resource, and no refresh token."""

from collections.abc import Collection

import msgspec

from mintage.clients.client import Client
from mintage.errors import InvalidGrant, InvalidTarget, OAuthError
from mintage.events.event import Emit, Party, Subject, ignore
from mintage.events.tokens import AssertionReplayed, TokenIssued
from mintage.grant_tokens import TokenResponse, Tokens
from mintage.grants.states import Consent, Reason
from mintage.server.token_answer import Answer
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.vault.direct_grants import Once
from mintage.vault.values import Refused
from mintage.vault.vault import Vault


def target_of(named: str | None, site: Site, allowed: Collection[str]) -> Resource:
    """The one resource that the token is for (RFC 8707 §2), among those at the paths *allowed*.

    *named*: the one that the request names. It may name none if only one is allowed. Raises
    `InvalidTarget`.
    """
    mine = [resource for resource in site.resources if resource.path in allowed]
    if named is None:
        if len(mine) == 1:
            return mine[0]
        raise InvalidTarget("name the resource that the token is for: " + _names(mine))
    wanted = site.resource(named)
    if wanted not in mine:
        raise InvalidTarget("resource must be one of: " + _names(mine))
    return wanted


def _names(resources: Collection[Resource]) -> str:
    return ", ".join(resource.identifier for resource in resources) or "(none)"


class DirectTokens(msgspec.Struct, frozen=True, kw_only=True):
    """Issues the token of a grant that begins with it."""

    site: Site
    vault: Vault
    tokens: Tokens
    emit: Emit = ignore

    async def issue(
        self,
        login: Consent,
        client: Client,
        *,
        grant_type: str,
        ends_at: int,
        jkt: str | None,
        once: Once | None = None,
        asserted_at: int | None = None,
        source: str | None = None,
    ) -> TokenResponse:
        """The token for *login* until *ends_at*. See `DirectGrants.issue`; raises `OAuthError`.

        *jkt*: the thumbprint of the key that it is bound to, from the request's proof.
        """
        answer = Answer(
            tokens=self.tokens, site=self.site, client=client, resource=login.resource, jkt=jkt
        )
        outcome = await self.vault.direct.issue(
            login,
            ends_at=ends_at,
            prepare=answer,
            once=once,
            asserted_at=asserted_at,
            source=source,
        )
        if isinstance(outcome, Refused):
            if outcome.reason is Reason.ASSERTION_REPLAYED:
                who = login.identity
                party = Party(
                    subject=Subject(who.issuer, who.subject),
                    client_id=login.client_id,
                    resource=login.resource,
                )
                self.emit(AssertionReplayed(party=party, grant_type=grant_type))
            raise _refusal(outcome.reason)
        response, party = answer(outcome), outcome.party(login.resource)
        scopes = tuple(response.scope.split())
        self.emit(TokenIssued(party=party, grant_type=grant_type, scopes=scopes))
        return response


def _refusal(reason: Reason) -> OAuthError:
    """An assertion that was used, or whose user has logged out (RFC 7521 §4.1.1)."""
    return InvalidGrant(
        "the assertion is not valid (any more): get a new one for each request", reason=reason.value
    )
