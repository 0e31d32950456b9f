"""``mintage keys new``: generate a good secret."""

import secrets


def new() -> None:
    """Print a new root secret.

    It is 32 random bytes, for the setting ``secret``. Keep it where only the server reads it:
    ``mintage keys new > secret; chmod 600 secret``.
    """
    print(secrets.token_urlsafe(32))  # noqa: T201
