"""Events of grants, and of the provider's tokens in them."""

from typing import ClassVar, Literal, TypeAlias

from mintage.events.event import Event

EndedBy: TypeAlias = Literal["client", "user", "operator", "provider", "rules", "reuse", "lifetime"]
"""Who ended a grant. ``rules``: the user may not log in any more. ``lifetime``: nobody did."""


class GrantEnded(Event, frozen=True, kw_only=True):
    """A grant ended. *reason*: as in the log, as ``refresh_token_reused``."""

    action: ClassVar[str] = "grant_ended"

    by: EndedBy
    reason: str


class UpstreamRenewed(Event, frozen=True, kw_only=True):
    """The provider renewed its tokens, or confirmed them."""

    action: ClassVar[str] = "upstream_renewed"


class RenewalRefused(Event, frozen=True, kw_only=True):
    """The provider refused to renew its tokens, or the user may not log in any more."""

    action: ClassVar[str] = "upstream_refused"

    reason: str


class RenewalUnknown(Event, frozen=True, kw_only=True):
    """The provider gave no answer that says yes or no. The grant continues for a time."""

    action: ClassVar[str] = "upstream_unknown"

    reason: Literal["unavailable", "misbehaved"]
