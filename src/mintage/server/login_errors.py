"""Refusals during a login that a page explains to the person, each in its own words."""

from mintage.errors import AccessDenied, InvalidRequest, InvalidRequestUri


class UnregisteredRedirectUri(InvalidRequest):
    """The client did not register this redirect URI (RFC 6749 §3.1.2.3)."""


class PageExpired(InvalidRequest):
    """The consent page was answered too late."""

    stage = "consent"


class CookieMissing(AccessDenied):
    """The browser did not send back the cookie that it got."""


class AccountRefused(InvalidRequest):
    """The page of the connected apps must be opened again."""

    stage = "account"


class SignOutRefused(InvalidRequest):
    """The sign-out page must be opened again."""

    stage = "login"


class DeviceFormRefused(InvalidRequest):
    """The page of devices must be opened again."""

    stage = "device"


class DeviceCodeEnded(InvalidRequest):
    """The device's code has expired, or it was answered."""

    stage = "device"


class PushedRequestExpired(InvalidRequestUri):
    """The request was pushed too long ago, or was used before."""


class LoginEnded(AccessDenied):
    """The login began in another browser, or too long ago."""


class LoginFinished(InvalidRequest):
    """The login was finished already."""

    stage = "login"


class LoginNotAccepted(InvalidRequest):
    """The identity provider refused the login's code."""

    stage = "upstream"


class FromAnotherSite(AccessDenied):
    """Another site may have sent the request: the user did not decide it."""
