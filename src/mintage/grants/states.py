"""A login as one value: its states from the code to the end.

::

    Pending ──redeem──▶ Active(1) ──refresh──▶ Active(2) ──refresh──▶ …
       └──────────────────┴── replay, reuse, revocation, upstream's no ──▶ Revoked

A grant for which nobody logs in begins as Active(1) and is never refreshed (`grants.direct`).

`mintage.grants.transitions` and `mintage.grants.lease` say what may follow.
"""

from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from mintage.grants.status import Slot
from mintage.values import ClientId, Scopes


class UpstreamTokens(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The identity provider's tokens. They are never shown to a client, and never printed.

    *expires_at* is in seconds since the epoch; None if the provider did not say. *recheck*: the
    token has no end, and *expires_at* is when the provider must be asked about it again. *ends_at*:
    its real end, if the provider is asked about it before that. *provider*: its name, if there are
    several. *issuer*: the provider that issued them; they are sent to no other. *replaced*: the
    provider revokes this access token when it issues the next one. *sid*: the provider's session in
    which the user logged in, if the id_token names it. *id_token*: kept only if a resource needs it
    (`Upstream.keeps_id_token`). *refresh_token_is_stored*: there is a refresh token, and this copy
    in memory is without it (`in_memory`).
    """

    access_token: str
    token_type: str = "Bearer"  # noqa: S105
    refresh_token: str | None = None
    expires_at: int | None = None
    scope: str | None = None
    recheck: bool = False
    provider: str | None = None
    issuer: str | None = None
    ends_at: int | None = None
    replaced: bool = False
    sid: str | None = None
    id_token: str | None = None
    refresh_token_is_stored: bool = False

    @property
    def renewable(self) -> bool:
        """Whether the provider can issue another token, or say whether this one is valid."""
        has_refresh_token = self.refresh_token is not None or self.refresh_token_is_stored
        return has_refresh_token or self.recheck

    def __repr__(self) -> str:
        return f"UpstreamTokens(…, expires_at={self.expires_at})"


class Identity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    """The user, as the upstream *issuer* describes them. *claims*: e-mail, name, groups, …

    *incomplete* names lists that the provider did not return in full. A value that is missing there
    may still be true. *machine*: it is no user, but a client or a workload that acts for itself.
    """

    issuer: str
    subject: str
    claims: dict[str, Any] = {}
    incomplete: tuple[str, ...] = ()
    machine: bool = False

    @cached_property
    def derived(self) -> dict[str, Any]:
        """What was computed from it, by name. It is neither compared nor stored, and goes with it.

        So it lasts as long as the grant is in memory, and no longer.
        """
        return {}


class Consent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was decided when the user consented. Later only *identity* changes, at each renewal."""

    client_id: ClientId
    resource: str  # the audience of its access tokens (RFC 8707), unless a request names
    scopes: Scopes
    identity: Identity
    created_at: int
    more_resources: tuple[str, ...] = ()  # one of these
    left_out: Scopes = ()  # asked for, and no scopes of these resources: not granted
    order: int | None = None  # above those of the user's earlier grants at this client

    def covers(self, resource: str | None) -> bool:
        """Whether the client may ask for tokens for *resource*; None means the default one."""
        return resource in (None, self.resource, *self.more_resources)

    def covers_scopes(self, asked: Scopes | None) -> bool:
        """Whether a refresh may name these scopes: granted ones, and ones that the login left out.

        Clients name at each refresh what they asked for at the login. Scopes that were left out
        then are left out again. Any other scope would exceed what the user agreed to (RFC 6749 §6).
        """
        return asked is None or set(asked) <= {*self.scopes, *self.left_out}


class Lease(msgspec.Struct, frozen=True):
    """One process's right to ask the upstream, until *until* (seconds since the epoch)."""

    holder: bytes
    until: int


class Pending(msgspec.Struct, frozen=True, kw_only=True, tag="pending"):
    """The user has consented and logged in. The client has not redeemed its code yet."""

    login: Consent
    upstream: UpstreamTokens
    code_hash: bytes
    code_challenge: str  # S256 (RFC 7636 §4.2)
    redirect_uri: str
    code_expires_at: int
    jkt: str | None = None  # the key that must redeem it: ``dpop_jkt`` (RFC 9449 §10)


class Active(msgspec.Struct, frozen=True, kw_only=True, tag="active", omit_defaults=True, gc=False):
    """In use. *generation* counts its refresh tokens; with *code_hash* a replayed code is noticed.

    *upstream*: None if nobody logged in at a provider for this grant. *unanswered_since*: when the
    provider should have said who the user is, if it has not answered since then. *used_from*: from
    which address the client last got tokens, if that is kept. *ends_at*: when it ends in any case,
    in seconds since the epoch, if it has an end of its own; such a grant has no refresh token.
    *slots*: its numbers in the status list, the newest last; empty without one.
    *exchanges_ended*: by client, when it last revoked the tokens that it had got by token exchange.
    *jkt*: the thumbprint of the key that its refresh tokens are bound to (RFC 9449 §5).
    """

    login: Consent
    upstream: UpstreamTokens | None
    code_hash: bytes
    generation: int
    rotated_at: int
    lease: Lease | None = None
    resource: str | None = None  # the one that the code was redeemed for, if it was named
    unanswered_since: int | None = None
    used_from: str | None = None
    ends_at: int | None = None
    slots: tuple[Slot, ...] = ()
    exchanges_ended: dict[ClientId, int] = {}
    jkt: str | None = None

    @property
    def audience(self) -> str:
        """The resource that its tokens are for, unless a refresh names another."""
        return self.resource or self.login.resource


class Revoked(msgspec.Struct, frozen=True, kw_only=True, tag="revoked"):
    """Ended. The record stays, empty, until the last of its tokens would have expired."""

    reason: "Reason"
    client_id: ClientId
    at: int


Grant: TypeAlias = Pending | Active | Revoked


class Reason(StrEnum):
    """Why a grant ended or a request was refused, in one word for the log."""

    UNKNOWN = "unknown_grant"
    NOT_ACTIVE = "grant_not_active"
    REVOKED = "grant_revoked"
    CODE_EXPIRED = "code_expired"
    CODE_REPLAYED = "code_replayed"
    WRONG_CODE = "wrong_code"
    WRONG_CLIENT = "wrong_client"
    WRONG_REDIRECT_URI = "wrong_redirect_uri"
    WRONG_RESOURCE = "wrong_resource"
    WRONG_VERIFIER = "wrong_code_verifier"
    NO_PROOF = "no_dpop_proof"
    WRONG_KEY = "wrong_dpop_key"
    REFRESH_REUSED = "refresh_token_reused"
    SCOPE_WIDENED = "scope_widened"
    CLIENT_REVOKED = "revoked_by_client"
    UPSTREAM_REFUSED = "upstream_refused"
    NOT_ADMITTED = "not_admitted"
    UPSTREAM_EXPIRED = "upstream_expired"
    SESSION_OVER = "session_lifetime_over"
    IDLE = "idle_lifetime_over"
    ENDED = "ended_from_a_list"
    ASSERTION_REPLAYED = "assertion_replayed"
    LOGGED_OUT = "logged_out_at_the_provider"
    DENIED = "denied_by_the_person"


def in_memory(tokens: UpstreamTokens) -> UpstreamTokens:
    """*tokens* without the refresh token, which is long, and which requests do not need.

    A renewal and a revocation read it from the store.
    """
    if tokens.refresh_token is None:
        return tokens
    return replace(tokens, refresh_token=None, refresh_token_is_stored=True)


def bound_tokens(grant: Pending | Active) -> UpstreamTokens | None:
    """The upstream tokens of *grant*, bound to the provider that issued them. None: it has none.

    Grants of earlier versions do not name that provider in the tokens, but in the identity.
    """
    tokens = grant.upstream
    if tokens is None:
        return None
    return replace(tokens, issuer=tokens.issuer or grant.login.identity.issuer)
