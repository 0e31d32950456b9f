"""``grant_type=urn:ietf:params:oauth:grant-type:token-exchange`` (RFC 8693), for backends.

A backend that the operator configured exchanges what it has of a user's request for a narrower
token at another resource. Nothing is stored. The new token is one of the grant's: it ends with the
login, and no later than the access that the backend had.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NoReturn

from msgspec.structs import replace

from mintage.access.emails import without_unverified_email
from mintage.clients.client import Client
from mintage.clients.exchanging import ExchangeTarget, Exchanging
from mintage.errors import (
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    TokenError,
    UnauthorizedClient,
)
from mintage.events.event import Emit, Party, ignore
from mintage.events.tokens import TokenDelegated, UpstreamTokenGiven
from mintage.grant_tokens import ACCESS_TOKEN_TYPE, TokenResponse, Tokens
from mintage.grants.delegation import Delegation, check_size, is_over, issue_time, narrowed
from mintage.grants.handles import store_key
from mintage.grants.parties import party_of
from mintage.server.bound_resource import check_bound
from mintage.server.exchange_request import GRANT_TYPE, ExchangeRequest
from mintage.server.grant_types.grant_type import TokenRequest
from mintage.server.subject_tokens import Subject, SubjectTokens
from mintage.server.told_claims import told_claims
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.values import ClientId, Clock, Scopes
from mintage.vault.values import OpenGrant, Refused
from mintage.vault.vault import Vault
from mintage.web.forms import Form

log = logging.getLogger("mintage.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenExchange:
    """*seconds*: how long its tokens live at most. *denied*: whether a client was denied.

    *provider_of*: the name of the identity provider of the user with a subject.
    """

    site: Site
    vault: Vault
    tokens: Tokens
    subjects: SubjectTokens
    clock: Clock
    seconds: int
    denied: Callable[[ClientId], bool]
    provider_of: Callable[[str], str | None]
    emit: Emit = ignore

    name: ClassVar[str] = GRANT_TYPE

    async def concerns(self, form: Form, client: Client) -> bool:  # noqa: ARG002
        return False  # only the operator's own clients exchange: they need no grant of theirs

    async def issue(self, request: TokenRequest) -> TokenResponse:
        client = request.client
        rules = client.exchanging
        if rules is None or client.auth_method == "none" or not client.vouched:
            raise UnauthorizedClient(
                "this client may not exchange tokens; the operator may configure it to"
            )
        asked = ExchangeRequest.parse(request.form, self.site)
        subject = await self._subject(asked, rules)
        opened = await self._live(subject, client)
        if asked.target is None:
            return await self._upstream_token(asked, rules, client, opened)
        return self._narrower(
            asked.target, asked.scopes, rules, client, subject, opened, request.jkt
        )

    async def _subject(self, request: ExchangeRequest, rules: Exchanging) -> Subject:
        resource = next((one for one in self.site.resources if one.path == rules.resource), None)
        if resource is None:
            raise InvalidTarget("the resource of this client is not served here any more")
        try:
            return self.subjects.read(request, resource)
        except TokenError as error:
            unverified = self.tokens.named_by_unknown_key(request.subject_token, error)
            await self.vault.check_secrets(unverified)
            _refuse_subject(error.error)

    async def _live(self, subject: Subject, client: Client) -> OpenGrant:
        """The grant of *subject*, which *client* may use: it has not ended, nor been denied."""
        outcome = await self.vault.authenticate(subject.handle)
        if isinstance(outcome, Refused):
            _refuse_subject(outcome.reason.value)
        delegation = subject.delegation
        actors = () if delegation is None else delegation.actors
        if is_over(outcome.grant, delegation):
            _refuse_subject("revoked by the client that exchanged it")
        if any(map(self.denied, (outcome.grant.login.client_id, *actors))):
            _refuse_subject("client_denied")
        if delegation is not None and delegation.may_act not in (None, client.client_id):
            _refuse_subject("may_act names another client")
        if self.clock() >= subject.ends_at:
            _refuse_subject("expired_token")
        return outcome

    def _narrower(
        self,
        target: Resource,
        asked: Scopes | None,
        rules: Exchanging,
        client: Client,
        subject: Subject,
        opened: OpenGrant,
        jkt: str | None,
    ) -> TokenResponse:
        """An access token for *target* (RFC 8693 §2.2.1), bound to the client's key *jkt*."""
        rule = rules.targets.get(target.path)
        if rule is None:
            raise InvalidTarget("this client may not ask for tokens for that resource")
        who = opened.grant.login.identity
        if target.upstreams and self.provider_of(who.subject) not in target.upstreams:
            raise InvalidTarget("users of this identity provider may not use that resource")
        check_bound(target, jkt)
        scopes = self._scopes(asked, rule, target, client, subject)
        delegation = self._delegation(rule, client, subject, opened)
        claims, _ = told_claims(target.token_claims, without_unverified_email(who.claims))
        ends_at = min(subject.ends_at, delegation.issued_at + self.seconds)
        try:
            response = self.tokens.issue_exchanged(
                opened,
                delegation,
                resource=target.identifier,
                scopes=scopes,
                ends_at=ends_at,
                claims=claims,
                jkt=jkt,
            )
        except ValueError:
            _refuse_subject("expired_token")
        party = _party(opened, client, target.identifier)
        self.emit(TokenDelegated(party=party, scopes=scopes, actors=delegation.actors))
        return response

    def _scopes(
        self,
        asked: Scopes | None,
        rule: ExchangeTarget,
        target: Resource,
        client: Client,
        subject: Subject,
    ) -> Scopes:
        allowed = rule.scopes
        if client.scopes is not None:
            allowed = tuple(scope for scope in allowed if scope in client.scopes)
        try:
            scopes = narrowed(
                asked,
                held=subject.scopes,
                target=target.all_scopes,
                allowed=allowed,
                hierarchy=self.site.hierarchy,
            )
        except ValueError as possible:
            raise InvalidScope(
                f"the user's token and this client's rules allow no more than: {possible}"
            ) from None
        if not scopes and target.scopes:
            raise InvalidScope(
                "the user's token has no scope that this client may pass on to the resource, "
                "which needs: " + " ".join(target.scopes)
            )
        return scopes

    def _delegation(
        self, rule: ExchangeTarget, client: Client, subject: Subject, opened: OpenGrant
    ) -> Delegation:
        """Who acts by the new token: *client*, and before it those that acted by *subject*."""
        before = subject.delegation
        actors = (client.client_id, *(() if before is None else before.actors))
        try:
            check_size(actors)
        except ValueError as error:
            raise InvalidRequest(f"this token can't be exchanged any further: {error}") from None
        issued_at = issue_time(opened.grant, actors, now=int(self.clock()))
        return Delegation(actors=actors, issued_at=issued_at, may_act=rule.may_act)

    async def _upstream_token(
        self, request: ExchangeRequest, rules: Exchanging, client: Client, opened: OpenGrant
    ) -> TokenResponse:
        """The user's own token at the identity provider, which the operator lets this client have.

        Raises `UpstreamError` if the provider must be asked and can't be.
        """
        if not rules.upstream_token:
            raise InvalidTarget("this client may not get the user's token of the provider")
        if request.scopes is not None:
            raise InvalidScope("the provider's token can't be narrowed: leave scope out")
        renewed = await self.vault.with_fresh_upstream(opened)
        if isinstance(renewed, Refused):
            _refuse_subject(renewed.reason.value)
        upstream = renewed.grant.upstream
        if upstream is None:
            raise InvalidTarget("nobody logged in at an identity provider for this token")
        self.emit(UpstreamTokenGiven(party=_party(opened, client, None)))
        left = None if upstream.expires_at is None else upstream.expires_at - int(self.clock())
        return TokenResponse(
            access_token=upstream.access_token,
            expires_in=left,
            scope=upstream.scope or "",
            issued_token_type=ACCESS_TOKEN_TYPE,
        )


def _party(opened: OpenGrant, client: Client, resource: str | None) -> Party:
    party = party_of(opened.grant, store_key(opened.secret), resource=resource)
    return replace(party, client_id=client.client_id)


def _refuse_subject(reason: str) -> NoReturn:
    """RFC 8693 §2.2.2: whatever is wrong with a subject token, it is ``invalid_request``."""
    raise InvalidRequest(
        "subject_token must be a live token of a user, for the resource of this client",
        reason=f"subject token: {reason}",
        stage="token",
    )
