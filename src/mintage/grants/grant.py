"""A login, as one value and the transitions it can make. No clock, no dice, no I/O.

::

    Pending ──redeem──▶ Active(1) ──refresh──▶ Active(2) ──refresh──▶ …
       └──────────────────┴── replay, reuse, revocation, upstream's no ──▶ Revoked

Each function here looks at a grant and a request and says what to do; the vault does it
in one compare-and-swap. Whatever races, exactly one of the competing writes wins, and
the losers come back here with what the winner wrote.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

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


class Login(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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

    login: Login
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

    login: Login
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


@dataclass(frozen=True, slots=True)
class Keep:
    """Nothing to write: *grant* is as it should be."""

    grant: Active


@dataclass(frozen=True, slots=True)
class Write:
    """Write *grant*, and it is granted."""

    grant: Active


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refused, and nothing changes."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Revoke:
    """Refused, and the grant ends. *upstream* is what may still live at the provider."""

    grant: Revoked
    upstream: UpstreamTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """A token request with a code. *redirect_uri*, *resource*: None where left out."""

    client_id: ClientId
    code_hash: bytes
    code_verifier: str
    redirect_uri: str | None
    resource: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshment:
    """A token request with a refresh token of *generation*. *scopes*: None for all."""

    client_id: ClientId
    generation: int
    scopes: Scopes | None
    resource: str | None


def redeem(grant: Grant, request: Redemption, *, now: int) -> Write | Refuse | Revoke:
    """What a code earns (RFC 6749 §4.1.3, RFC 7636 §4.6).

    Somebody who holds the code but not its verifier is not the one who asked for it, so
    one wrong verifier spends the code. A code seen again ends the grant (RFC 6749 §4.1.2).
    """
    if isinstance(grant, Revoked):
        return Refuse(Reason.REVOKED)
    if not hmac.compare_digest(grant.code_hash, request.code_hash):
        return Refuse(Reason.WRONG_CODE)
    if isinstance(grant, Active):
        return _revoke(grant, Reason.CODE_REPLAYED, now)
    if grant.login.client_id != request.client_id:
        return Refuse(Reason.WRONG_CLIENT)
    if now >= grant.code_expires_at:
        return Refuse(Reason.CODE_EXPIRED)
    if request.redirect_uri not in (None, grant.redirect_uri):
        return Refuse(Reason.WRONG_REDIRECT_URI)
    if not grant.login.covers(request.resource):
        return Refuse(Reason.WRONG_RESOURCE)
    if not hmac.compare_digest(s256(request.code_verifier), grant.code_challenge):
        return _revoke(grant, Reason.WRONG_VERIFIER, now)
    active = Active(
        login=grant.login,
        upstream=grant.upstream,
        code_hash=grant.code_hash,
        generation=1,
        rotated_at=now,
        resource=request.resource,
    )
    return Write(active)


def refresh(
    grant: Grant,
    request: Refreshment,
    *,
    now: int,
    grace: int,
    age: float | None = None,
    session: int | None = None,
) -> Write | Keep | Refuse | Revoke:
    """What a refresh token earns (RFC 6749 §6, RFC 9700 §4.14.2).

    *session*: how many seconds after the login the grant ends, whatever happens; None: never.

    The current generation rotates. A client whose answer got lost comes back with the
    one before: that is not theft, and within *grace* seconds it gets the same successor
    again. Anything older is a stolen token, and the grant ends.

    A generation above the current one was signed by this server and has been forgotten by its
    store: a backup was restored, or a failover lost the write. No thief can have made it, and
    it is newer than all that the store knows, so it rotates as the current one would. A thief
    who holds an older one is still found out, at the next refresh of either.

    *age*: seconds since the last rotation, where the caller measured them; None: by *now*.
    """
    if isinstance(grant, Revoked):
        return Refuse(Reason.REVOKED)
    if isinstance(grant, Pending):
        return Refuse(Reason.NOT_ACTIVE)
    if grant.login.client_id != request.client_id:
        return Refuse(Reason.WRONG_CLIENT)
    if not grant.login.covers(request.resource):
        return Refuse(Reason.WRONG_RESOURCE)
    if not grant.login.covers_scopes(request.scopes):
        return Refuse(Reason.SCOPE_WIDENED)
    if session is not None and now >= grant.login.created_at + session:
        return _revoke(grant, Reason.SESSION_OVER, now)
    if request.generation >= grant.generation:
        return Write(replace(grant, generation=request.generation + 1, rotated_at=now))
    age = now - grant.rotated_at if age is None else age
    if request.generation == grant.generation - 1 and age < grace:
        return Keep(grant)
    return _revoke(grant, Reason.REFRESH_REUSED, now)


def revoke(grant: Grant, client_id: ClientId, *, now: int) -> Refuse | Revoke:
    """A client asks to end its grant (RFC 7009 §2.1). Another client's is not its to end."""
    if isinstance(grant, Revoked):
        return Refuse(Reason.REVOKED)
    if grant.login.client_id != client_id:
        return Refuse(Reason.WRONG_CLIENT)
    return _revoke(grant, Reason.CLIENT_REVOKED, now)


def end(grant: Active, reason: Reason, *, now: int) -> Revoke:
    """The grant ends without anybody having asked: the upstream said no."""
    return _revoke(grant, reason, now)


@dataclass(frozen=True, slots=True)
class Wait:
    """Another process is asking the upstream, under *lease*."""

    lease: Lease


def is_due(tokens: UpstreamTokens, *, now: int, margin: int) -> bool:
    """Whether the upstream's access token ends within *margin* seconds."""
    return tokens.expires_at is not None and now + margin >= tokens.expires_at


def lease(
    grant: Active,
    holder: bytes,
    *,
    now: int,
    margin: int,
    duration: int,
    overdue: Lease | None = None,
) -> Keep | Write | Wait:
    """Who may ask the upstream for new tokens: nobody yet, *holder*, or another first.

    *overdue*: a lease that was waited for as long as any lasts. The clock of its holder's machine
    is ahead, or it would have ended by now.
    """
    if not is_due(grant.upstream, now=now, margin=margin):
        return Keep(grant)
    held = grant.lease
    if held is not None and now < held.until and held.holder != holder and held != overdue:
        return Wait(held)
    return Write(replace(grant, lease=Lease(holder, now + duration)))


@dataclass(frozen=True, slots=True)
class Renewed:
    """What asking the upstream brought.

    *identity*: who the user is by now; None: as before. *answered*: False where the upstream
    was asked who the user is, and its answer said neither yes nor no.
    """

    tokens: UpstreamTokens
    identity: Identity | None = None
    answered: bool = True


ASK_AGAIN: Final = 300
"""Seconds until the upstream is asked again who the user is, where it did not answer."""


def renewed(grant: Active, outcome: Renewed, *, now: int) -> Active:
    """*grant* with the upstream's new tokens and identity, and nobody's turn any more."""
    tokens, login = outcome.tokens, grant.login
    if outcome.identity is not None:
        login = replace(login, identity=outcome.identity)
    since = None
    if not outcome.answered:
        since = unanswered_since(grant)
        soon = now + ASK_AGAIN
        expires_at = soon if tokens.expires_at is None else min(tokens.expires_at, soon)
        tokens = replace(tokens, expires_at=expires_at)
    return replace(grant, login=login, upstream=tokens, unanswered_since=since, lease=None)


def unanswered_since(grant: Active) -> int | None:
    """Since when an answer of the upstream is due; None where none is."""
    return grant.unanswered_since or grant.upstream.expires_at


def is_overdue(grant: Active, *, now: int, limit: int) -> bool:
    """Whether the upstream has said neither yes nor no for longer than *limit* seconds."""
    return grant.unanswered_since is not None and now >= grant.unanswered_since + limit


def may_go_on(grant: Active, *, now: int, limit: int) -> bool:
    """Whether a token that has no end may be used though the upstream does not answer."""
    since = unanswered_since(grant)
    return grant.upstream.recheck and since is not None and now < since + limit


def prolong(grant: Active, holder: bytes, *, now: int, duration: int) -> Keep | Write:
    """*holder* still works on what the upstream answered, if the turn is still its own."""
    if grant.lease is None or grant.lease.holder != holder:
        return Keep(grant)
    return Write(replace(grant, lease=Lease(holder, now + duration)))


def release(grant: Active, holder: bytes) -> Keep | Write:
    """The upstream gave no answer: the next may ask at once, if the turn is still *holder*'s."""
    if grant.lease is None or grant.lease.holder != holder:
        return Keep(grant)
    return Write(replace(grant, lease=None))


def bound_tokens(grant: Pending | Active) -> UpstreamTokens:
    """The upstream tokens of *grant*, bound to the provider that gave them.

    Grants of earlier versions do not say it of the tokens; of the identity they always did.
    """
    tokens = grant.upstream
    return replace(tokens, issuer=tokens.issuer or grant.login.identity.issuer)


def s256(code_verifier: str) -> str:
    """The S256 code challenge of *code_verifier* (RFC 7636 §4.2)."""
    digest = hashlib.sha256(code_verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _revoke(grant: Pending | Active, reason: Reason, now: int) -> Revoke:
    over = Revoked(reason=reason, client_id=grant.login.client_id, at=now)
    return Revoke(over, bound_tokens(grant))
