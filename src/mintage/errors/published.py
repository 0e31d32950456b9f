"""What others publish, and Mintage can't get or use."""

from mintage.errors.base import MintageError


class FetchError(MintageError):
    """The root of the errors about a URL that a client named. That client may see the text."""


class FetchFailed(FetchError):
    """The URL can't be fetched just now."""


class FetchRefused(FetchError):
    """Mintage does not accept this URL, the address behind it, or its answer."""


class KeysUnavailable(MintageError):
    """The issuer's public keys can't be fetched, so nothing is known: answer 503, never 401.

    Args:
        reason: Why, for the log.
        retry_after: Seconds until it makes sense to ask again.
    """

    def __init__(self, reason: str, *, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class StatusUnavailable(KeysUnavailable):
    """The issuer's status list can't be had, so it is unknown whether a token is revoked: 503.

    It is no refusal: the token may be valid. Answer 503, never 401. Programs that catch
    `KeysUnavailable` do so already.
    """
