"""``grant_type=urn:ietf:params:oauth:grant-type:token-exchange`` (RFC 8693), for backends.

A backend that the operator configured exchanges what it has of a user's request for a narrower
token at another resource. Nothing is stored. The new token is one of the grant's: it ends with the
login, and no later than the access that the backend had.
"""

from collections.abc import Callable, Collection
from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from mintage.access.emails import without_unverified_email
from mintage.access.scopes import Hierarchy
from mintage.clients.client import Client
from mintage.clients.exchanging import ExchangeTarget, Exchanging
from mintage.errors import (
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    TokenError,
    UnauthorizedClient,
)
from mintage.events.event import Emit, ignore
from mintage.events.tokens import TokenDelegated, UpstreamTokenGiven
from mintage.grant_tokens import ACCESS_TOKEN_TYPE, TokenResponse, Tokens, token_type
from mintage.grants.delegation import Delegation, narrowed, passed_on
from mintage.grants.states import Active
from mintage.partly_shown import PartlyShown
from mintage.server.bound_resource import check_bound
from mintage.server.grant_type import TEXT, Members, Parameters, TokenRequest
from mintage.server.requests import asked_scopes
from mintage.server.subject_tokens import Subject, SubjectKind, SubjectTokens, refuse_subject
from mintage.server.told_claims import told_claims
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.trust.issuer import Purpose
from mintage.values import ClientId, Clock, Scopes
from mintage.vault.values import OpenGrant, Refused
from mintage.vault.vault import Vault
from mintage.web.forms import Form, one, optional

JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
IDENTITY_PROVIDER: Final = "identity-provider"
"""The ``audience`` of a request for the user's access token at the identity provider."""

_KINDS: Final[dict[str, SubjectKind]] = {ACCESS_TOKEN_TYPE: "access_token", JWT: "identity"}


class ExchangeRequest(PartlyShown, frozen=True, kw_only=True):
    """What a backend asks for (RFC 8693 §2.1).

    *target*: the resource; None for the user's token at the identity provider. *scopes*: None for
    all that are possible.
    """

    not_shown = ("subject_token",)

    subject_token: str
    kind: SubjectKind
    target: Resource | None
    scopes: Scopes | None

    @classmethod
    def parse(cls, form: Form, site: Site) -> "ExchangeRequest":
        """Raises `InvalidRequest`, `InvalidScope`, or `InvalidTarget` (RFC 8693 §2.2.2)."""
        subject_token = one(form, "subject_token")
        kind = _KINDS.get(one(form, "subject_token_type"))
        if kind is None:
            raise InvalidRequest(
                f"subject_token_type must be {ACCESS_TOKEN_TYPE}, or {JWT} for a signed identity"
            )
        _check_actor(form)
        if optional(form, "requested_token_type") not in (None, ACCESS_TOKEN_TYPE):
            raise InvalidRequest(
                f"requested_token_type must be {ACCESS_TOKEN_TYPE}, or be left out"
            )
        return cls(
            subject_token=subject_token,
            kind=kind,
            target=_target(form, site),
            scopes=asked_scopes(form),
        )


def _check_actor(form: Form) -> None:
    """The actor is the client that authenticates. It needs no token to say so."""
    actor, kind = optional(form, "actor_token"), optional(form, "actor_token_type")
    if (actor is None) != (kind is None):
        raise InvalidRequest("send actor_token and actor_token_type together, or neither")
    if actor is not None:
        raise InvalidRequest(
            "leave actor_token out: the client that authenticates is the one that acts"
        )


def _target(form: Form, site: Site) -> Resource | None:
    named = [value for name in ("resource", "audience") for value in form.get(name, ()) if value]
    if not named:
        raise InvalidTarget("name the resource that the token is for, in resource or audience")
    if IDENTITY_PROVIDER in named:
        if set(named) != {IDENTITY_PROVIDER} or any(form.get("resource", ())):
            raise InvalidTarget(f"audience={IDENTITY_PROVIDER} goes alone, without resource")
        return None
    target, *others = map(site.resource, named)
    if target is None or any(other is not target for other in others):
        known = ", ".join(resource.identifier for resource in site.resources)
        raise InvalidTarget(f"a token is for one resource: name one of {known}")
    return target


class TokenExchange(msgspec.Struct, frozen=True, kw_only=True):
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

    name: ClassVar[str] = "urn:ietf:params:oauth:grant-type:token-exchange"
    parameters: ClassVar = Parameters(
        needed={"subject_token": TEXT, "subject_token_type": {"enum": list(_KINDS)}},
        others={
            "requested_token_type": {"const": ACCESS_TOKEN_TYPE},
            "resource": TEXT,
            "audience": TEXT,
            "scope": TEXT,
        },
    )

    @staticmethod
    def metadata(_: str, __: Collection[Purpose], /) -> Members:
        return {}

    async def concerns(self, form: Form, client: Client) -> bool:  # noqa: ARG002
        return False  # only the operator's own clients exchange: they need no grant of theirs

    async def issue(self, request: TokenRequest) -> TokenResponse:
        client = request.client
        rules = rules_of(client)
        asked = ExchangeRequest.parse(request.form, self.site)
        subject, opened = await self._opened(asked, rules, client)
        if asked.target is None:
            return await self._upstream_token(asked, rules, client, opened)
        return self._narrower(
            asked.target, asked.scopes, rules, client, subject, opened, request.jkt
        )

    async def _opened(
        self, asked: ExchangeRequest, rules: Exchanging, client: Client
    ) -> tuple[Subject, OpenGrant]:
        """What the subject token proves, and its grant, which *client* may use."""
        resource = next((one for one in self.site.resources if one.path == rules.resource), None)
        if resource is None:
            raise InvalidTarget("the resource of this client is not served here any more")
        try:
            subject = self.subjects.read(asked.subject_token, asked.kind, resource)
        except TokenError as error:
            unverified = self.tokens.named_by_unknown_key(asked.subject_token, error)
            await self.vault.check_secrets(unverified)
            refuse_subject(error.error)
        outcome = await self.vault.live.authenticate(subject.handle)
        if isinstance(outcome, Refused):
            refuse_subject(outcome.reason.value)
        subject.check(outcome.grant, client.client_id, self.denied, now=self.clock())
        return subject, outcome

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
        who = opened.grant.login.identity
        rule = rule_for(target, rules, self.provider_of(who.subject))
        check_bound(target, jkt)
        scopes = scopes_for(asked, rule, target, client, subject, self.site.hierarchy)
        delegation = delegation_of(rule, client, subject, opened.grant, now=int(self.clock()))
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
            refuse_subject("expired_token")
        party = replace(opened.party(target.identifier), client_id=client.client_id)
        self.emit(TokenDelegated(party=party, scopes=scopes, actors=delegation.actors))
        return response

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
            refuse_subject(renewed.reason.value)
        upstream = renewed.grant.upstream
        if upstream is None:
            raise InvalidTarget("nobody logged in at an identity provider for this token")
        party = replace(opened.party(), client_id=client.client_id)
        self.emit(UpstreamTokenGiven(party=party))
        left = None if upstream.expires_at is None else upstream.expires_at - int(self.clock())
        return TokenResponse(
            access_token=upstream.access_token,
            token_type=token_type(None),
            expires_in=left,
            scope=upstream.scope or "",
            issued_token_type=ACCESS_TOKEN_TYPE,
        )


def rules_of(client: Client) -> Exchanging:
    """What *client* may exchange. Raises `UnauthorizedClient` if it may nothing."""
    rules = client.exchanging
    if rules is None or client.auth_method == "none" or not client.vouched:
        raise UnauthorizedClient(
            "this client may not exchange tokens; the operator may configure it to"
        )
    return rules


def rule_for(target: Resource, rules: Exchanging, provider: str | None) -> ExchangeTarget:
    """What *rules* say of *target*, for a user of *provider*. Raises `InvalidTarget`."""
    rule = rules.targets.get(target.path)
    if rule is None:
        raise InvalidTarget("this client may not ask for tokens for that resource")
    if target.upstreams and provider not in target.upstreams:
        raise InvalidTarget("users of this identity provider may not use that resource")
    return rule


def scopes_for(
    asked: Scopes | None,
    rule: ExchangeTarget,
    target: Resource,
    client: Client,
    subject: Subject,
    hierarchy: Hierarchy,
) -> Scopes:
    """The scopes of the new token (see `narrowed`). Raises `InvalidScope`."""
    allowed = rule.scopes
    if client.scopes is not None:
        allowed = tuple(scope for scope in allowed if scope in client.scopes)
    try:
        scopes = narrowed(
            asked,
            held=subject.scopes,
            target=target.all_scopes,
            allowed=allowed,
            hierarchy=hierarchy,
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


def delegation_of(
    rule: ExchangeTarget, client: Client, subject: Subject, grant: Active, *, now: int
) -> Delegation:
    """Who acts by the new token: *client*, and before it those that acted by *subject*."""
    try:
        return passed_on(subject.delegation, client.client_id, grant, may_act=rule.may_act, now=now)
    except ValueError as error:
        raise InvalidRequest(f"this token can't be exchanged any further: {error}") from None
