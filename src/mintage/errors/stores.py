"""A store that can't do what was requested."""

from mintage.errors.base import MintageError


class StoreError(MintageError):
    """The root of the errors of stores."""


class Exists(StoreError):
    """The key is taken: another record is under it."""


class Stale(StoreError):
    """Another write came first. Load the record and decide again."""


class StoreUnavailable(StoreError):
    """The store can't be reached, or can't write, just now. The same call may work later."""


class SecretMissing(StoreUnavailable):
    """A record needs a root secret that is not configured here. The client did nothing wrong.

    Args:
        what: What needs the secret.
        secret_id: The public id of the secret.
    """

    def __init__(self, what: str, secret_id: str) -> None:
        super().__init__(
            f"{what} needs the secret {secret_id}, which is not among the configured ones: put "
            "it back, or give it up with `mintage serve --force`"
        )


class StoreUnusable(StoreError):
    """The store is damaged, not Mintage's, or newer than this program. Nothing in it changed."""
