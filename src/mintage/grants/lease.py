"""Decides which process asks the upstream for new tokens, and what its answer changes. Pure."""

from typing import Final

import msgspec
from msgspec.structs import replace

from mintage.grants.states import Active, Identity, Lease, UpstreamTokens
from mintage.grants.transitions import Keep, Write


class Wait(msgspec.Struct, frozen=True):
    """Another process is asking the upstream, under *lease*."""

    lease: Lease


def is_due(tokens: UpstreamTokens | None, *, now: int, margin: int) -> bool:
    """Whether the upstream's access token ends within *margin* seconds. Without one: no."""
    if tokens is None:
        return False
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
    """What to do about new tokens: nothing yet, let *holder* ask the upstream, or wait for another.

    *overdue*: the lease that the caller has waited for as long as any lease lasts. The clock of its
    holder's machine is ahead, or it would have ended by now.
    """
    if not is_due(grant.upstream, now=now, margin=margin):
        return Keep(grant)
    held = grant.lease
    if held is not None and now < held.until and held.holder != holder and held != overdue:
        return Wait(held)
    return Write(replace(grant, lease=Lease(holder, now + duration)))


class Renewed(msgspec.Struct, frozen=True):
    """What the upstream answered.

    *identity*: who the user is now; None: unchanged. *answered*: False if the upstream was asked
    who the user is, and the answer did not tell.
    """

    tokens: UpstreamTokens
    identity: Identity | None = None
    answered: bool = True


ASK_AGAIN: Final = 300
"""Seconds until the upstream is asked again who the user is, where it did not answer."""


def renewed(grant: Active, outcome: Renewed, *, now: int) -> Active:
    """*grant* with the upstream's new tokens and identity, and without a lease."""
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
    """Since when an answer of the upstream is due; None if none is."""
    if grant.upstream is None:
        return None
    return grant.unanswered_since or grant.upstream.expires_at


def is_overdue(grant: Active, *, now: int, limit: int) -> bool:
    """Whether the upstream has not answered for longer than *limit* seconds."""
    return grant.unanswered_since is not None and now >= grant.unanswered_since + limit


def may_go_on(grant: Active, *, now: int, limit: int) -> bool:
    """Whether a token without an end may be used although the upstream does not answer."""
    since = unanswered_since(grant)
    if since is None or grant.upstream is None:
        return False
    return grant.upstream.recheck and now < since + limit


def prolong(grant: Active, holder: bytes, *, now: int, duration: int) -> Keep | Write:
    """A longer lease for *holder*, which still works. Another's lease stays as it is."""
    if grant.lease is None or grant.lease.holder != holder:
        return Keep(grant)
    return Write(replace(grant, lease=Lease(holder, now + duration)))


def release(grant: Active, holder: bytes) -> Keep | Write:
    """End the lease of *holder*, so that the next process may ask. Another's lease stays."""
    if grant.lease is None or grant.lease.holder != holder:
        return Keep(grant)
    return Write(replace(grant, lease=None))
