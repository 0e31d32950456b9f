"""The login of a browser at one resource: a grant without a client, which is in use or ends. Pure.

No token is ever made for it. A cookie holds its handle, and each use of it may count as a sign that
the user is still there.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from mintage.grants.states import Active, Consent, Grant, Pending, Reason, Revoked, UpstreamTokens
from mintage.grants.transitions import Keep, Refuse, Write
from mintage.values import ClientId

CLIENT_PREFIX: Final = "browser:"
DEFAULT_IDLE: Final = 28_800
DEFAULT_LIFETIME: Final = 86_400
_STEPS: Final = 10  # parts of *idle*: the last use is known as exactly as this
_LONGEST_STEP: Final = 300  # seconds


class SessionLimits(msgspec.Struct, frozen=True):
    """In seconds. *idle*: without a request; *lifetime*: from the login on, in any case."""

    idle: int = DEFAULT_IDLE
    lifetime: int = DEFAULT_LIFETIME

    @property
    def step(self) -> int:
        """How long a use is not written down again: a store write each so many seconds."""
        return min(self.idle // _STEPS, _LONGEST_STEP)

    def end_of(self, grant: Active) -> int:
        """When the session ends if it is not used any more, in seconds since the epoch."""
        return min(grant.rotated_at + self.idle, grant.login.created_at + self.lifetime)


def browser_client(path: str) -> ClientId:
    """What takes a client's place in the grants of browsers at the resource at *path*."""
    return ClientId(CLIENT_PREFIX + path)


def is_of_browser(client_id: ClientId) -> bool:
    """Whether a grant with this *client_id* is the session of a browser."""
    return client_id.startswith(CLIENT_PREFIX)


def begun(login: Consent, upstream: UpstreamTokens) -> Active:
    """A new session. It has no code: an empty hash is none of any."""
    return Active(
        login=login, upstream=upstream, code_hash=b"", generation=1, rotated_at=login.created_at
    )


def used(
    grant: Grant, client_id: ClientId, *, now: int, limits: SessionLimits
) -> Keep | Write | Refuse:
    """What a request with the session's cookie does to it.

    *client_id*: of the browsers at the resource that it is used at; a session is for one alone.
    """
    if isinstance(grant, Revoked):
        return Refuse(Reason.REVOKED)
    if isinstance(grant, Pending):
        return Refuse(Reason.NOT_ACTIVE)
    if grant.login.client_id != client_id:
        return Refuse(Reason.WRONG_CLIENT)
    if now >= limits.end_of(grant):
        idle = now < grant.login.created_at + limits.lifetime
        return Refuse(Reason.IDLE if idle else Reason.SESSION_OVER)
    if now - grant.rotated_at < limits.step:
        return Keep(grant)
    return Write(replace(grant, rotated_at=now))
