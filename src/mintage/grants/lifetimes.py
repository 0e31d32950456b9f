"""When a login ends by itself: its absolute lifetime, and its idle lifetime. Pure.

Both are settings, and not part of the grant. So a shorter one applies to existing logins too. A
grant for which nobody logged in has an end of its own besides (`Active.ends_at`).
"""

import math

from mintage.grants.states import Active, Reason


def ends_at(grant: Active, *, session: int | None) -> float:
    """When *grant* ends, however often it is refreshed, in seconds since the epoch.

    *session*: how many seconds after the login; None: never. A grant may have an earlier end of its
    own.
    """
    of_login = math.inf if session is None else grant.login.created_at + session
    return of_login if grant.ends_at is None else min(of_login, grant.ends_at)


def over(
    grant: Active, generation: int, *, now: int, session: int | None, idle: int | None
) -> Reason | None:
    """Why a refresh token of *generation* comes too late, or None.

    *idle*: for how many seconds a login lasts without a refresh; None: it is not counted. Requests
    with an access token do not count as use, because they write nothing.

    A token above the grant's own generation shows that the store has lost refreshes, and so does
    not say when the last one was. Only the token's own expiry limits it then.
    """
    if now >= ends_at(grant, session=session):
        return Reason.SESSION_OVER
    known = generation <= grant.generation
    if known and idle is not None and now >= grant.rotated_at + idle:
        return Reason.IDLE
    return None
