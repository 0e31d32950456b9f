"""What a token request, a revocation or a refusal by the upstream does to a grant. Pure.

Each function gets a grant and a request, and returns what to do. The vault does it in one
compare-and-swap. In a race exactly one write wins, and the losers call the function again with what
the winner wrote.
"""

import hmac

import msgspec
from msgspec.structs import replace

from mintage.grants.lifetimes import over
from mintage.grants.pkce import s256
from mintage.grants.states import (
    Active,
    Grant,
    Pending,
    Reason,
    Revoked,
    UpstreamTokens,
    bound_tokens,
)
from mintage.values import ClientId, Scopes


class Keep(msgspec.Struct, frozen=True):
    """Nothing to write: *grant* is as it should be."""

    grant: Active


class Write(msgspec.Struct, frozen=True):
    """Allowed: write *grant*."""

    grant: Active


class Refuse(msgspec.Struct, frozen=True):
    """Refused. Nothing changes."""

    reason: Reason


class Revoke(msgspec.Struct, frozen=True):
    """Refused, and the grant ends. *upstream*: tokens that may still be valid at the provider.

    None: the grant has none.
    """

    grant: Revoked
    upstream: UpstreamTokens | None


class Redemption(msgspec.Struct, frozen=True, kw_only=True):
    """A token request with a code. *redirect_uri*, *resource*: None if left out.

    *source*: from which address it came, if that is to be kept. *jkt*: the thumbprint of the key
    that the client proved to hold. *public*: whether nothing else proves that it is this client.
    """

    client_id: ClientId
    code_hash: bytes
    code_verifier: str
    redirect_uri: str | None
    resource: str | None
    source: str | None = None
    jkt: str | None = None
    public: bool = True


class Refreshment(msgspec.Struct, frozen=True, kw_only=True):
    """A token request with a refresh token of *generation*. *scopes*: None for all.

    *source*, *jkt*, *public*: see `Redemption`.
    """

    client_id: ClientId
    generation: int
    scopes: Scopes | None
    resource: str | None
    source: str | None = None
    jkt: str | None = None
    public: bool = True


def redeem(grant: Grant, request: Redemption, *, now: int) -> Write | Refuse | Revoke:
    """The decision about a code (RFC 6749 §4.1.3, RFC 7636 §4.6).

    A client that has the code and not its verifier did not request the code, so one wrong verifier
    spends it. A code that comes a second time ends the grant (RFC 6749 §4.1.2). A code that was
    requested with a key's thumbprint is redeemed with a proof of that key (RFC 9449 §10).
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
    if (unproven := _unproven(grant.jkt, request.jkt)) is not None:
        return Refuse(unproven)
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
        used_from=request.source,
        jkt=request.jkt if request.public else None,
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
    idle: int | None = None,
) -> Write | Keep | Refuse | Revoke:
    """The decision about a refresh token (RFC 6749 §6, RFC 9700 §4.14.2).

    *session*: how many seconds after the login the grant ends in any case; None: never. *idle*: how
    many seconds after the last refresh; None: never.

    The current generation rotates. A client that did not get the response sends the previous token
    again. That is not theft, and within *grace* seconds it gets the same new token again. An older
    token was stolen, so the grant ends.

    This server signed every token above the current generation, and its store has lost them: a
    backup was restored, or a failover lost the write. No thief can have made such a token, and it
    is newer than all that the store has, so it rotates like the current one. A thief with an older
    one is noticed at the next refresh of either.

    *age*: seconds since the last rotation, if the caller measured them; None: by *now*.

    A public client that proves a key has its refresh tokens bound to it from then on. Without that
    key they are refused, and nothing changes: a thief can't end the login with them either (RFC
    9449 §5). A confidential client proves itself in another way, so its key may change.
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
    if (unproven := _unproven(grant.jkt, request.jkt)) is not None:
        return Refuse(unproven)
    late = over(grant, request.generation, now=now, session=session, idle=idle)
    if late is not None:
        return _revoke(grant, late, now)
    if request.generation >= grant.generation:
        next_one = replace(
            grant,
            generation=request.generation + 1,
            rotated_at=now,
            used_from=request.source,
            jkt=request.jkt if request.public else None,
        )
        return Write(next_one)
    age = now - grant.rotated_at if age is None else age
    if request.generation == grant.generation - 1 and age < grace:
        return Keep(grant)
    return _revoke(grant, Reason.REFRESH_REUSED, now)


def _unproven(bound_to: str | None, proven: str | None) -> Reason | None:
    """Why a grant that is *bound_to* a key may not be used with the *proven* one."""
    if bound_to is None or bound_to == proven:
        return None
    return Reason.NO_PROOF if proven is None else Reason.WRONG_KEY


def revoke(grant: Grant, client_id: ClientId, *, now: int) -> Refuse | Revoke:
    """A client asks to end its grant (RFC 7009 §2.1). It can't end another client's grant."""
    if isinstance(grant, Revoked):
        return Refuse(Reason.REVOKED)
    if grant.login.client_id != client_id:
        return Refuse(Reason.WRONG_CLIENT)
    return _revoke(grant, Reason.CLIENT_REVOKED, now)


def end_exchanges(grant: Grant, client_id: ClientId, *, at: int) -> Write | Keep | Refuse:
    """A client ends the tokens that it got by token exchange until *at*, and those made of them.

    The login, which is another client's, continues.
    """
    if isinstance(grant, Revoked):
        return Refuse(Reason.REVOKED)
    if isinstance(grant, Pending):
        return Refuse(Reason.NOT_ACTIVE)
    if grant.exchanges_ended.get(client_id, -1) >= at:
        return Keep(grant)
    return Write(replace(grant, exchanges_ended=grant.exchanges_ended | {client_id: at}))


def end(grant: Active, reason: Reason, *, now: int) -> Revoke:
    """The grant ends without a request, because the upstream refused."""
    return _revoke(grant, reason, now)


def revoke_for(grant: Pending | Active, reason: Reason, *, now: int) -> Revoke:
    """The grant ends with the request, for *reason*."""
    return _revoke(grant, reason, now)


def _revoke(grant: Pending | Active, reason: Reason, now: int) -> Revoke:
    revoked = Revoked(reason=reason, client_id=grant.login.client_id, at=now)
    return Revoke(revoked, bound_tokens(grant))
