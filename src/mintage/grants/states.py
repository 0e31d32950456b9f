"""A login, as one value: what it is between its code and its end.

::

    Pending ──redeem──▶ Active(1) ──refresh──▶ Active(2) ──refresh──▶ …
       └──────────────────┴── replay, reuse, revocation, upstream's no ──▶ Revoked

`mintage.grants.transitions` and `mintage.grants.lease` say what may follow.
"""

from enum import StrEnum
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from mintage.values import ClientId, Scopes


class UpstreamTokens(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the identity provider gave us. Never shown to a client, never printed.

    *expires_at* is in seconds since the epoch; None where the provider did not say. *recheck*:
    the token has no end, and *expires_at* is when the provider must be asked about it again.
    *ends_at*: its real end, where it is asked about before that. *provider*: its name, where
    there are several. *issuer*: the provider that gave them; no other is ever sent them.
    *replaced*: the provider ends this access token when it gives the next one.
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

    @property
    def renewable(self) -> bool:
        """Whether the provider can be asked for another token, or whether this one holds."""
        return self.refresh_token is not None or self.recheck

    def __repr__(self) -> str:
        return f"UpstreamTokens(…, expires_at={self.expires_at})"


class Identity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who logged in, as the upstream *issuer* tells it. *claims*: e-mail, name, groups, …

    *incomplete* names lists that the provider did not tell to their end: what is missing there
    may be true all the same.
    """

    issuer: str
    subject: str
    claims: dict[str, Any] = {}
    incomplete: tuple[str, ...] = ()


class Consent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was decided when the user consented. Only *identity* changes: at each renewal."""

    client_id: ClientId
    resource: str  # the audience of its access tokens (RFC 8707), unless a request names
    scopes: Scopes
    identity: Identity
    created_at: int
    more_resources: tuple[str, ...] = ()  # one of these
    left_out: Scopes = ()  # asked for, and no scopes of these resources: not granted

    def covers(self, resource: str | None) -> bool:
        """Whether tokens for *resource* may be asked for; None asks for the usual one."""
        return resource in (None, self.resource, *self.more_resources)

    def covers_scopes(self, asked: Scopes | None) -> bool:
        """Whether a refresh may name these scopes: what was granted, and what we left out.

        Clients name at each refresh what they asked for at the login. What we left out then is
        left out again; anything else would go beyond what the user agreed to (RFC 6749 §6).
        """
        return asked is None or set(asked) <= {*self.scopes, *self.left_out}


class Lease(msgspec.Struct, frozen=True):
    """One process's right to ask the upstream, until *until* (seconds since the epoch)."""

    holder: bytes
    until: int


class Pending(msgspec.Struct, frozen=True, kw_only=True, tag="pending"):
    """Consented and logged in; the client has yet to redeem its code."""

    login: Consent
    upstream: UpstreamTokens
    code_hash: bytes
    code_challenge: str  # S256 (RFC 7636 §4.2)
    redirect_uri: str
    code_expires_at: int


class Active(msgspec.Struct, frozen=True, kw_only=True, tag="active", omit_defaults=True):
    """In use. *generation* counts its refresh tokens; *code_hash* still knows a replay.

    *unanswered_since*: when the provider was to be asked who the user is by now, if it has not
    answered since.
    """

    login: Consent
    upstream: UpstreamTokens
    code_hash: bytes
    generation: int
    rotated_at: int
    lease: Lease | None = None
    resource: str | None = None  # the one that the code was redeemed for, if it was named
    unanswered_since: int | None = None

    @property
    def audience(self) -> str:
        """The resource that its tokens are for, unless a refresh names another."""
        return self.resource or self.login.resource


class Revoked(msgspec.Struct, frozen=True, kw_only=True, tag="revoked"):
    """Over. The record stays, empty, until the last of its tokens would have expired."""

    reason: "Reason"
    client_id: ClientId
    at: int


Grant: TypeAlias = Pending | Active | Revoked


class Reason(StrEnum):
    """Why a grant ended or a request about it was refused: for our log, one word each."""

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
    REFRESH_REUSED = "refresh_token_reused"
    SCOPE_WIDENED = "scope_widened"
    CLIENT_REVOKED = "revoked_by_client"
    UPSTREAM_REFUSED = "upstream_refused"
    NOT_ADMITTED = "not_admitted"
    UPSTREAM_EXPIRED = "upstream_expired"
    SESSION_OVER = "session_lifetime_over"


def bound_tokens(grant: Pending | Active) -> UpstreamTokens:
    """The upstream tokens of *grant*, bound to the provider that gave them.

    Grants of earlier versions do not say it of the tokens; of the identity they always did.
    """
    tokens = grant.upstream
    return replace(tokens, issuer=tokens.issuer or grant.login.identity.issuer)
