"""Events of tokens."""

from typing import ClassVar, Literal

from mintage.events.event import Event
from mintage.values import ClientId, Scopes


class TokenIssued(Event, frozen=True, kw_only=True):
    """A client got tokens for a new grant. *grant_type*: as ``authorization_code``."""

    action: ClassVar[str] = "token_issued"

    grant_type: str
    scopes: Scopes = ()


class TokenRefreshed(Event, frozen=True, kw_only=True):
    """A client got new tokens for its refresh token.

    *repeated*: it had used that token just before, and so did not get the response. It got the same
    tokens again.
    """

    action: ClassVar[str] = "token_refreshed"

    scopes: Scopes = ()
    repeated: bool = False


class TokenExchanged(Event, frozen=True, kw_only=True):
    """The provider issued a token for a backend (RFC 8693). *audience*: whom it is for."""

    action: ClassVar[str] = "token_exchanged"

    audience: str | None = None


class TokenExchangeRefused(Event, frozen=True, kw_only=True):
    """The provider issued no token for a backend. *reason*: its error code."""

    action: ClassVar[str] = "token_exchange_refused"

    reason: str
    audience: str | None = None


class TokenDelegated(Event, frozen=True, kw_only=True):
    """A backend got a token to act for the user at another resource (RFC 8693).

    The party names that resource, and the backend as ``client_id``. *actors*: the clients that act
    for the user, the backend first.
    """

    action: ClassVar[str] = "token_delegated"

    scopes: Scopes = ()
    actors: tuple[ClientId, ...] = ()


class UpstreamTokenGiven(Event, frozen=True, kw_only=True):
    """A backend got the user's access token at the identity provider (RFC 8693)."""

    action: ClassVar[str] = "upstream_token_given"


class TokenReused(Event, frozen=True, kw_only=True):
    """A token or code came again that was used up: it may have been stolen. The grant ends.

    *kind*: ``code`` also if the client did not know the code's verifier.
    """

    action: ClassVar[str] = "token_reused"

    kind: Literal["code", "refresh_token"]


class AssertionReplayed(Event, frozen=True, kw_only=True):
    """An assertion came again that was used up: it may have been stolen. It gets nothing.

    *grant_type*: the one that it was sent for.
    """

    action: ClassVar[str] = "assertion_replayed"

    grant_type: str
