"""Verifies a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4 and §2.6). Pure.

It is signed and addressed like an id_token, and checked by the same functions. What makes it a
logout token and nothing else is the member of ``events``, and that it has no ``nonce``.
"""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from mintage.errors import UpstreamMisbehaved
from mintage.upstream.id_token import (
    LEEWAY,
    UnknownKid,
    check_audience,
    check_issuer,
    check_times,
    signed,
    time_of,
)
from mintage.upstream.identity import MAX_SUBJECT, is_text

if TYPE_CHECKING:
    from joserfc import jwk

EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
MAX_AGE: Final = 600  # seconds after its iat; its jti is remembered for as long
MAX_LENGTH: Final = 16 * 1024
MAX_SESSION_ID: Final = 255
_MAX_JTI: Final = 255
_TYPES: Final = frozenset({"jwt", "logout+jwt", "application/logout+jwt"})


class BadLogoutToken(UpstreamMisbehaved):
    """It is not a valid logout token of this provider for this client."""


class LogoutToken(msgspec.Struct, frozen=True, kw_only=True):
    """Whose logins end: those of the session *sid*, or else all of *subject*. One may be None.

    *jti* must not be accepted again before *expires_at* (seconds since the epoch).
    """

    issuer: str
    subject: str | None
    sid: str | None
    jti: str
    expires_at: int


def verify(
    token: str, keys: "jwk.KeySet", *, issuer: str, client_id: str, now: int,
    aliases: tuple[str, ...] = (),
) -> LogoutToken:  # fmt: skip
    """The content of a valid logout token. *issuer*, *aliases*: see `id_token.verify`.

    Raises `BadLogoutToken`, and `UnknownKid` if a newer key set may help.
    """
    if len(token) > MAX_LENGTH:
        raise BadLogoutToken(f"the token is longer than {MAX_LENGTH} bytes")
    try:
        header, claims = signed(token, keys, "the logout token")
        _check_type(header)
        if "nonce" in claims:
            raise BadLogoutToken("the token has a nonce, as an id_token has")
        _check_event(claims.get("events"))
        check_issuer(claims, header, keys, issuer=issuer, aliases=aliases)
        check_audience(claims, client_id)
        check_times(claims, now)
        expires_at = min(time_of(claims.get("exp")), time_of(claims.get("iat")) + MAX_AGE)
        if now >= expires_at + LEEWAY:
            raise BadLogoutToken("the token was issued too long ago")
        subject = _name(claims, "sub", MAX_SUBJECT)
        sid = _name(claims, "sid", MAX_SESSION_ID)
    except (UnknownKid, BadLogoutToken):
        raise
    except UpstreamMisbehaved as error:
        raise BadLogoutToken(str(error)) from None
    if subject is None and sid is None:
        raise BadLogoutToken("the token has neither sub nor sid")
    jti = _name(claims, "jti", _MAX_JTI)
    if jti is None:
        raise BadLogoutToken("the token has no jti")
    return LogoutToken(
        issuer=claims["iss"], subject=subject, sid=sid, jti=jti, expires_at=expires_at + LEEWAY + 1
    )


def session_id(claims: dict[str, Any]) -> str | None:
    """The provider's session (``sid``) in the claims of an id_token; None if it names none."""
    sid = claims.get("sid")
    return sid if is_text(sid) and 0 < len(sid) <= MAX_SESSION_ID else None


def _check_type(header: dict[str, Any]) -> None:
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise BadLogoutToken("the token has the typ of another kind of token")


def _check_event(events: object) -> None:
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise BadLogoutToken(f"events has no object {EVENT}")


def _name(claims: dict[str, Any], claim: str, most: int) -> str | None:
    """The string in *claim*; None if it is not there."""
    value = claims.get(claim)
    if claim in claims and not (is_text(value) and 0 < len(value) <= most):
        raise BadLogoutToken(f"{claim} can't be used")
    return value if isinstance(value, str) else None
