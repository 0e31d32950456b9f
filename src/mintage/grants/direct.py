"""Grants for which nobody logs in here. Pure.

A client or a workload acts for itself, or a trusted provider asserts who the user is. Such a
grant has no code, no refresh token and no tokens of a provider. It begins in use, and ends when its
access token does.
"""

from mintage.grants.states import Active, Consent


def begun(login: Consent, *, ends_at: int, source: str | None = None) -> Active:
    """A new one, which ends at *ends_at* (seconds since the epoch).

    Its code is an empty hash, which is the hash of none. *source*: from which address the client
    got its token, if that is kept.
    """
    return Active(
        login=login,
        upstream=None,
        code_hash=b"",
        generation=1,
        rotated_at=login.created_at,
        used_from=source,
        ends_at=ends_at,
    )
