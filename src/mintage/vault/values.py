"""The arguments and results of the vault's calls."""

import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Self, TypeAlias

import msgspec

from mintage.events.event import Party
from mintage.grants import handles, records
from mintage.grants.browser_sessions import (
    DEFAULT_IDLE,
    DEFAULT_LIFETIME,
    SessionLimits,
    is_of_browser,
)
from mintage.grants.lease import Renewed
from mintage.grants.lifetimes import ends_at
from mintage.grants.parties import party_of
from mintage.grants.states import Active, Grant, Identity, Pending, Reason, UpstreamTokens
from mintage.grants.transitions import Keep, Refuse, Revoke, Write
from mintage.partly_shown import PartlyShown
from mintage.values import ClientId, GrantId, Scopes

Renew: TypeAlias = Callable[[UpstreamTokens, Identity], Awaitable[Renewed]]
"""Asks the provider for new tokens, and who the user is by now. Raises `UpstreamError`."""

ReportEnded: TypeAlias = Callable[[UpstreamTokens], None]
"""Takes tokens that have lost their grant, for the provider to revoke. It must not wait."""

Decision: TypeAlias = Keep | Write | Refuse | Revoke
Decide: TypeAlias = Callable[[Grant], Decision]
Prepare: TypeAlias = "Callable[[OpenGrant], object]"
"""Makes the answer for a grant as it would be after a write. It raises where there is none."""


CLOCK_LEEWAY: Final = 5
"""Seconds that the clocks of two replicas may differ."""


class Lifetimes(msgspec.Struct, frozen=True, kw_only=True):
    """All in seconds. *upstream_margin*: how long before its end an upstream token is renewed.

    *session*: how long a login lasts in all; None: as long as it is refreshed. *idle*: how long it
    lasts without a refresh; None: as long as its refresh token. *unanswered*: how long it continues
    while the provider does not say whether it may. *browser_idle*, *browser_lifetime*: see
    `SessionLimits`.
    """

    code: int = 60
    access: int = 3600
    refresh: int = 2_592_000
    grace: int = 60
    session: int | None = None
    idle: int | None = None
    unanswered: int = 14_400
    upstream_margin: int = 60
    lease: int = 20
    browser_idle: int = DEFAULT_IDLE
    browser_lifetime: int = DEFAULT_LIFETIME

    @property
    def longest(self) -> int | None:
        """How long any login may last; None: as long as it is refreshed."""
        return None if self.session is None else max(self.session, self.browser_lifetime)

    @property
    def browser(self) -> SessionLimits:
        """The limits of browsers' sessions."""
        return SessionLimits(self.browser_idle, self.browser_lifetime)

    def end_of(self, grant: Active) -> int:
        """When *grant* ends if it is not used any more, in seconds since the epoch."""
        if grant.ends_at is not None:
            return grant.ends_at + CLOCK_LEEWAY  # its token is valid for as long
        if is_of_browser(grant.login.client_id):
            return self.browser.end_of(grant)
        return grant.rotated_at + self.refresh

    def ends_at(self, grant: Active) -> float:
        """When *grant* ends, however often it is refreshed, in seconds since the epoch."""
        return ends_at(grant, session=self.session)

    def renewed_at(self, grant: "Listed") -> int:
        """When the client of *grant* last got tokens.

        For a grant of an earlier version it is right if the lifetimes were the same then.
        """
        if grant.summary is not None and grant.summary.used_at is not None:
            return grant.summary.used_at
        return grant.expires_at - self.refresh

    def lasts_until(self, grant: "Listed") -> int:
        """When *grant* ends if its client does not refresh it."""
        if grant.summary is None or is_of_browser(grant.summary.client_id):
            return grant.expires_at
        if grant.summary.ends_at is not None:
            return min(grant.summary.ends_at, grant.expires_at)
        since = grant.summary.created_at
        used = max(since, self.renewed_at(grant))
        session, idle = self.session or math.inf, self.idle or math.inf
        return int(min(grant.expires_at, since + session, used + idle))


class VaultKeys(PartlyShown, frozen=True, kw_only=True):
    """The vault's keys from one root secret, 32 bytes each.

    *seal* for records, *index* for the names in lists.
    """

    not_shown = ("seal", "index")

    seal: bytes
    index: bytes
    id: bytes = b""  # names the secret in public, and tells nothing about it

    def __post_init__(self) -> None:
        digest = hashlib.sha256(b"mintage secret id\0" + self.seal).digest()
        msgspec.structs.force_setattr(self, "id", digest[: records.ID_BYTES])


class Summary(msgspec.Struct, frozen=True, array_like=True):
    """What lists show about a grant. *name*: an e-mail address or the like, if one is known.

    *order*: a number above those of the user's earlier grants at this client, whatever the clocks
    of the servers say. *resources*: what the app may use, with *scopes*; empty for a grant of an
    earlier version. *sid*: the provider's session in which the user logged in, if it is known.
    *used_at*: when the app last got tokens, and *used_from*: from which address, if that is kept.
    *ends_at*: its own end, if it has one and is never refreshed. *machine*: the login of no
    user. New members come at the end: older versions ignore them.
    """

    issuer: str
    subject: str
    client_id: ClientId
    created_at: int
    name: str | None = None
    order: int | None = None
    scopes: Scopes = ()
    resources: tuple[str, ...] = ()
    sid: str | None = None
    used_at: int | None = None
    used_from: str | None = None
    ends_at: int | None = None
    machine: bool = False

    @classmethod
    def of(cls, grant: Pending | Active) -> Self:
        login = grant.login
        used: tuple[int | None, str | None, int | None] = (None, None, None)
        if isinstance(grant, Active):
            used = (grant.rotated_at, grant.used_from, grant.ends_at)
        who = login.identity
        return cls(
            who.issuer,
            who.subject,
            login.client_id,
            login.created_at,
            _name_of(who.claims),
            login.order,
            login.scopes,
            (login.resource, *login.more_resources),
            None if grant.upstream is None else grant.upstream.sid,
            *used,
            who.machine,
        )


def _name_of(claims: Mapping[str, Any]) -> str | None:
    for claim in ("email", "preferred_username", "name"):
        if isinstance(name := claims.get(claim), str):
            return name
    return None


class Listed(PartlyShown, frozen=True):
    """A live grant in a list. You can end it. Only a token of its client can decrypt it.

    Args:
        key: Its key in the store.
        summary: Who logged in, with which client, and when. None if it can't be read.
        expires_at: When it ends, in seconds since the epoch.
        sealed_under: The id of the root secret that encrypts it; empty if the record does not say.
        signed_with: The id of the root secret that signs its tokens; empty likewise.
        unread: Why it can't be read in full, or None.
        foreign: Whether it is encrypted under a secret that is not configured here. It may belong
            to another installation.
    """

    not_shown = ("key",)

    key: bytes
    summary: Summary | None
    expires_at: int
    sealed_under: bytes
    signed_with: bytes
    unread: str | None = None
    foreign: bool = False

    @property
    def id(self) -> GrantId:
        """The grant's public id, which logs and pages show."""
        return handles.grant_id(self.key)


class OpenGrant(msgspec.Struct, frozen=True):
    """A live grant, and the secret that opened it. It never shows either of them.

    *repeated*: a refresh token opened it that was used just before, and gives the same tokens.
    """

    secret: bytes
    grant: Active
    repeated: bool = False

    def party(self, resource: str | None = None) -> Party:
        """Whom events about it are about. *resource*: None for the grant's own."""
        return party_of(self.grant, handles.store_key(self.secret), resource=resource)

    def __repr__(self) -> str:
        return "OpenGrant(…)"


class Refused(msgspec.Struct, frozen=True):
    """Why not."""

    reason: Reason


class Condition(msgspec.Struct, frozen=True):
    """How a vault is doing.

    *cached*: grants that are decrypted in memory. *store_resting*: whether it leaves the store
    alone for a moment, because that did not answer. *renewals_paused*: grants for which the
    provider failed a moment ago, so that it is not asked again yet.
    """

    cached: int
    store_resting: bool
    renewals_paused: int
