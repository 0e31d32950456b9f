"""Errors about the identity provider: an outage, a refusal, or an answer that makes no sense."""

from mintage.errors.base import MintageError


class UpstreamError(MintageError):
    """The root of the errors about an identity provider. The text is for Mintage's log alone."""


class UpstreamUnavailable(UpstreamError):
    """The provider did not answer, or with a 5xx: nothing is known about the login.

    Args:
        reason: Why, for the log.
        retry_after: Seconds until it makes sense to ask again.
    """

    def __init__(self, reason: str, *, retry_after: int = 5) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class HalfKnown(UpstreamUnavailable):
    """No rule admits the user so far, and the provider did not return the whole list of groups."""


class UpstreamRefused(UpstreamError):
    """The provider refused, so this login has ended.

    Args:
        error: The provider's OAuth error code (RFC 6749 §5.2).
        description: The provider's description, for the log.
    """

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(f"{error}: {description}" if description else error)
        self.error = error


class NotAdmitted(UpstreamRefused):
    """The provider knows the user, and no ``[[allow]]`` rule admits them.

    Args:
        why: Which rules did not match, for the log.
    """

    def __init__(self, why: str) -> None:
        super().__init__("access_denied", f"no rule lets this user in: {why}")


class UpstreamMisbehaved(UpstreamError):
    """The provider's answer breaks the protocol, so Mintage does not use it."""


class UpstreamMisconfigured(UpstreamMisbehaved):
    """The provider, or a proxy on the way to it, refuses this server until an operator acts."""
