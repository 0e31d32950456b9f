"""What a grant's end is called in events. Pure."""

from collections.abc import Iterator
from typing import Final

from mintage.events.event import Event, Party
from mintage.events.grants import EndedBy, GrantEnded
from mintage.events.tokens import TokenReused
from mintage.grants.states import Reason

_BY: Final[dict[Reason, EndedBy]] = {
    Reason.CLIENT_REVOKED: "client",
    Reason.CODE_REPLAYED: "reuse",
    Reason.WRONG_VERIFIER: "reuse",
    Reason.REFRESH_REUSED: "reuse",
    Reason.UPSTREAM_REFUSED: "provider",
    Reason.UPSTREAM_EXPIRED: "provider",
    Reason.NOT_ADMITTED: "rules",
    Reason.SESSION_OVER: "lifetime",
    Reason.IDLE: "lifetime",
}


def ending(party: Party, reason: Reason) -> Iterator[Event]:
    """The events of the end of a grant for *reason*: its reuse first, if that was the cause."""
    by = _BY.get(reason, "operator")
    if by == "reuse":
        is_refresh = reason is Reason.REFRESH_REUSED
        yield TokenReused(party=party, kind="refresh_token" if is_refresh else "code")
    yield GrantEnded(party=party, by=by, reason=reason.value)
