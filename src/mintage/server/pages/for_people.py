"""Which text of the catalogue tells a person about a refusal. Pure."""

from typing import Literal, TypeAlias

from mintage.errors import (
    BadUpstream,
    InvalidClient,
    NotFound,
    OAuthError,
    TemporarilyUnavailable,
)
from mintage.server.login_errors import (
    CookieMissing,
    LoginEnded,
    LoginFinished,
    LoginNotAccepted,
    PageExpired,
    UnregisteredRedirectUri,
)
from mintage.web.edge import ServerFault

Explanation: TypeAlias = Literal[
    "app", "away", "cookie", "ended", "expired", "fault", "finished", "missing", "provider",
    "redirect", "restart", "setup", "unknown",
]  # fmt: skip


def explanation(error: OAuthError, *, of_application: bool) -> Explanation:  # noqa: C901, PLR0911  (a table)
    """The name of the text below ``error``. *of_application*: an application made the request."""
    match error:
        case UnregisteredRedirectUri():
            return "redirect"
        case PageExpired():
            return "expired"
        case CookieMissing():
            return "cookie"
        case LoginEnded():
            return "ended"
        case LoginFinished():
            return "finished"
        case LoginNotAccepted():
            return "provider"
        case InvalidClient():
            return "unknown"
        case TemporarilyUnavailable():
            return "away"
        case BadUpstream():
            return "setup"
        case ServerFault():
            return "fault"
        case NotFound():
            return "missing"
        case _:
            return "app" if of_application else "restart"
