"""Events of logins, and of what users agree to."""

from typing import ClassVar, Literal, TypeAlias

from mintage.events.event import Event
from mintage.values import Scopes

Purpose: TypeAlias = Literal["app", "account", "site", "device"]
"""What a user logs in for: an app, the page of the connected apps, a site in the browser, or a
device without one."""


class LoggedIn(Event, frozen=True, kw_only=True):
    """A user logged in at the provider, and was admitted."""

    action: ClassVar[str] = "login"

    purpose: Purpose = "app"
    scopes: Scopes = ()


class LoginRefused(Event, frozen=True, kw_only=True):
    """A user came back from the provider and was not logged in.

    *stage*: which check refused. *reason*: the rule, or what the provider said, in words without
    anything that a stranger wrote.
    """

    action: ClassVar[str] = "login_refused"

    stage: str
    reason: str
    purpose: Purpose = "app"


class ConsentGiven(Event, frozen=True, kw_only=True):
    """A person approved an app on the consent page. Who it is, the login will tell."""

    action: ClassVar[str] = "consent_given"

    scopes: Scopes = ()


class ConsentDenied(Event, frozen=True, kw_only=True):
    """A person denied access on the consent page."""

    action: ClassVar[str] = "consent_denied"


class ConsentRemembered(Event, frozen=True, kw_only=True):
    """A user's decision was kept, so that the same app need not ask again."""

    action: ClassVar[str] = "consent_remembered"

    scopes: Scopes = ()


class ConsentForgotten(Event, frozen=True, kw_only=True):
    """A decision that was kept is kept no longer."""

    action: ClassVar[str] = "consent_forgotten"


class SessionEnded(Event, frozen=True, kw_only=True):
    """A user signed out of a browser at a site. *reason*: ``signed_out``.

    A logout at the provider ends grants: there is a `GrantEnded` for each, by ``provider``.
    """

    action: ClassVar[str] = "session_ended"

    reason: str
