"""Device authorization (RFC 8628): the codes, and what a poll does to a grant. Pure.

The device code has the secret of the grant that a person's approval makes, so a poll finds that
grant without any table. The user code is short enough to type, and finds the request.
"""

import hashlib
import hmac
from typing import Final

import msgspec

from mintage.grants.states import Active, Grant, Reason, Revoked
from mintage.grants.transitions import Keep, Refuse, Revoke, Write, revoke_for
from mintage.values import ClientId

ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""Of user codes: no vowel makes a word, and no two letters look alike (RFC 8628 §6.1)."""

USER_CODE_LENGTH: Final = 8  # 34.5 bits
USER_CODE_BYTES: Final = 16
_GROUP: Final = 4
_SEPARATORS: Final = frozenset(" -_.\u2010\u2011\u2012\u2013\u2014\u00a0\t")
_MAX_TYPED: Final = 40


class Poll(msgspec.Struct, frozen=True, kw_only=True):
    """A token request with a device code. *resource*: None if left out.

    *source*: from which address it came, if that is to be kept. *jkt*, *public*: as in
    `Redemption`.
    """

    client_id: ClientId
    code_hash: bytes
    resource: str | None
    source: str | None = None
    jkt: str | None = None
    public: bool = True


def make_user_code(raw: bytes) -> str:
    """A user code of `USER_CODE_BYTES` random bytes, as people type it."""
    number = int.from_bytes(raw, "big")  # so many that each code is equally likely
    letters = []
    for _ in range(USER_CODE_LENGTH):
        number, letter = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[letter])
    code = "".join(letters)
    return f"{code[:_GROUP]}-{code[_GROUP:]}"


def read_user_code(typed: str) -> str | None:
    """The user code that a person typed, whatever the case and the separators (RFC 8628 §6.1).

    None for what can't be one.
    """
    if len(typed) > _MAX_TYPED:
        return None
    letters = "".join(c for c in typed if c not in _SEPARATORS)
    code = letters.upper() if letters.isascii() else ""
    if len(code) != USER_CODE_LENGTH or not set(code) <= set(ALPHABET):
        return None
    return f"{code[:_GROUP]}-{code[_GROUP:]}"


def code_hash(secret: bytes) -> bytes:
    """What a grant keeps of the device code with this grant secret."""
    return hashlib.sha256(b"mintage device code\0" + secret).digest()


def redeem(grant: Grant, request: Poll, *, now: int, grace: int) -> Write | Keep | Refuse | Revoke:
    """The decision about a device code whose person has answered (RFC 8628 §3.5).

    As with a refresh token, a client that did not get the response sends the code again, and gets
    the same tokens within *grace* seconds, if it has not used them to refresh. Later, the code is
    in somebody else's hands, so the grant ends.
    """
    if isinstance(grant, Revoked):
        denied = grant.reason is Reason.DENIED
        return Refuse(Reason.DENIED if denied else Reason.REVOKED)
    if not hmac.compare_digest(grant.code_hash, request.code_hash):
        return Refuse(Reason.WRONG_CODE)
    if grant.login.client_id != request.client_id:
        return Refuse(Reason.WRONG_CLIENT)
    if not grant.login.covers(request.resource):
        return Refuse(Reason.WRONG_RESOURCE)
    if isinstance(grant, Active):
        if grant.generation == 1 and now - grant.rotated_at < grace:
            return Keep(grant)
        return revoke_for(grant, Reason.CODE_REPLAYED, now=now)
    if now >= grant.code_expires_at:
        return Refuse(Reason.CODE_EXPIRED)
    active = Active(
        login=grant.login,
        upstream=grant.upstream,
        code_hash=grant.code_hash,
        generation=1,
        rotated_at=now,
        resource=request.resource,
        used_from=request.source,
        jkt=request.jkt if request.public else None,
    )
    return Write(active)
