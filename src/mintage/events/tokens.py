"""Events of tokens."""

from typing import ClassVar, Literal

from mintage.events.event import Event
from mintage.values import Scopes


class TokenIssued(Event, frozen=True, kw_only=True):
    """A client got tokens for a new grant. *grant_type*: as ``authorization_code``."""

    action: ClassVar[str] = "token_issued"

    grant_type: str
    scopes: Scopes = ()


class TokenRefreshed(Event, frozen=True, kw_only=True):
    """A client got new tokens for its refresh token."""

    action: ClassVar[str] = "token_refreshed"

    scopes: Scopes = ()


class TokenExchanged(Event, frozen=True, kw_only=True):
    """The provider issued a token for a backend (RFC 8693). *audience*: whom it is for."""

    action: ClassVar[str] = "token_exchanged"

    audience: str | None = None


class TokenExchangeRefused(Event, frozen=True, kw_only=True):
    """The provider issued no token for a backend. *reason*: its error code."""

    action: ClassVar[str] = "token_exchange_refused"

    reason: str
    audience: str | None = None


class TokenReused(Event, frozen=True, kw_only=True):
    """A token or code came again that was used up: it may have been stolen. The grant ends.

    *kind*: ``code`` also if the client did not know the code's verifier.
    """

    action: ClassVar[str] = "token_reused"

    kind: Literal["code", "refresh_token"]
