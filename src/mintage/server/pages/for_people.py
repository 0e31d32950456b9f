"""Which text of the catalogue tells a person about a refusal. Pure."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from mintage.clients.denied import ClientIsDenied
from mintage.errors import (
    BadUpstream,
    InvalidClient,
    NotFound,
    OAuthError,
    TemporarilyUnavailable,
    TooManyRequests,
)
from mintage.server.login_errors import (
    AccountRefused,
    CookieMissing,
    DeviceCodeEnded,
    DeviceFormRefused,
    FromAnotherSite,
    LoginEnded,
    LoginFinished,
    LoginNotAccepted,
    PageExpired,
    PushedRequestExpired,
    SignOutRefused,
    UnregisteredRedirectUri,
)
from mintage.web.edge import SHORTLY, RightsUnknown, ServerFault

Explanation: TypeAlias = Literal[
    "account", "another_site", "app", "away", "cookie", "denied", "device", "device_form", "ended",
    "expired", "fault", "finished", "forbidden", "missing", "often", "provider", "redirect",
    "restart", "rights",
    "session", "setup", "unknown", "wait",
]  # fmt: skip


_BY_ERROR: Final[Mapping[type[OAuthError], Explanation]] = {
    UnregisteredRedirectUri: "redirect",
    AccountRefused: "account",
    SignOutRefused: "account",
    PageExpired: "expired",
    PushedRequestExpired: "expired",
    DeviceCodeEnded: "device",
    DeviceFormRefused: "device_form",
    CookieMissing: "cookie",
    FromAnotherSite: "another_site",
    LoginEnded: "ended",
    LoginFinished: "finished",
    LoginNotAccepted: "provider",
    InvalidClient: "unknown",
    ClientIsDenied: "denied",
    TooManyRequests: "often",
    RightsUnknown: "rights",
    BadUpstream: "setup",
    ServerFault: "fault",
    NotFound: "missing",
}


def explanation(error: OAuthError, *, of_application: bool) -> Explanation:
    """The name of the text below ``error``. *of_application*: an application made the request."""
    if (found := _BY_ERROR.get(type(error))) is not None:
        return found
    if isinstance(error, TemporarilyUnavailable):
        return "wait" if error.retry_after > SHORTLY else "away"
    return "app" if of_application else "restart"
