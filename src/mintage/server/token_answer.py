"""What most grant types end with: the tokens of an opened grant, for one resource."""

import logging
from typing import Any

import msgspec
from msgspec.structs import replace

from mintage.access.emails import without_unverified_email
from mintage.clients.client import Client
from mintage.errors import InvalidTarget, OAuthError, TemporarilyUnavailable
from mintage.grant_tokens import TokenResponse, Tokens
from mintage.grants.states import Active, Identity
from mintage.server.bound_resource import check_bound
from mintage.server.told_claims import told_claims
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.values import Scopes
from mintage.vault.values import OpenGrant

log = logging.getLogger("mintage.server")


class Answer(msgspec.Struct, kw_only=True):
    """The response to one token request. It is made before the vault writes, and sent afterwards.

    So a setting that has changed since the login is noticed before anything is spent. *resource*:
    the one that the request names, None for the grant's own. *scopes*: None for all that were
    granted. Scopes that were not granted are left out; if none remains, all granted ones are meant.
    *jkt*: the thumbprint of the key that the access token is bound to; None: it is not bound.
    """

    tokens: Tokens
    site: Site
    client: Client
    resource: str | None
    jkt: str | None
    scopes: Scopes | None = None
    _made: tuple[OpenGrant, TokenResponse] | None = None

    def __call__(self, opened: OpenGrant) -> TokenResponse:
        """The tokens of *opened*.

        Raises `InvalidTarget`, `InvalidDpopProof` or `TemporarilyUnavailable`.
        """
        made = self._made
        if made is None or not _is_like(opened.grant, made[0].grant):
            made = self._made = opened, self._make(opened)
        return made[1]

    def _make(self, opened: OpenGrant) -> TokenResponse:
        login = opened.grant.login
        named = self.resource or opened.grant.audience
        target = self.site.resource(named)
        if target is None:
            raise _not_served(named, self.site)
        check_bound(target, self.jkt)
        # A scope that the settings no longer know leaves new tokens.
        wanted, known = login.scopes, target.all_scopes
        if self.scopes is not None:
            wanted = tuple([scope for scope in self.scopes if scope in wanted]) or wanted
        return self.tokens.issue(
            opened,
            resource=target.identifier,
            scopes=tuple([scope for scope in wanted if scope in known]),
            claims=_told(target, login.identity) if target.token_claims else None,
            refreshable="refresh_token" in self.client.grant_types,
            jkt=self.jkt,
        )


def _is_like(grant: Active, before: Active) -> bool:
    """Whether *grant* has the tokens of *before*: they do not depend on what differs here.

    A refresh for which the provider is asked makes them before and after the question.
    """
    return grant is before or grant == replace(
        before,
        upstream=grant.upstream,
        lease=grant.lease,
        unanswered_since=grant.unanswered_since,
    )


def _told(target: Resource, who: Identity) -> dict[str, Any]:
    """The provider's claims about *who* for a token for *target*."""
    told, left_out = told_claims(target.token_claims, without_unverified_email(who.claims))
    for name, why in left_out.items():
        log.warning("the claim %s was left out of a token: it %s", name, why)
    return told


def _not_served(resource: str, site: Site) -> OAuthError:
    """Why there is no token for *resource*, to which the user agreed earlier."""
    if resource == site.issuer or resource.startswith(f"{site.issuer}/"):
        return InvalidTarget(
            "this login is for a resource that this server does not have at present; "
            "log in again for another, or ask the operator to put it back",
            reason=f"no resource {resource} in the settings",
        )
    return TemporarilyUnavailable(
        "this login belongs to another server; use that server's token endpoint",
        reason=f"the grant is for {resource}, which is not below this issuer: "
        "two servers share one store and secret",
        retry_after=60,
        stage="resource",
    )
