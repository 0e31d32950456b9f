"""The fast path for nearly all tokens: HS256, as this package writes them. No randomness, no I/O.

All HS256 tokens of one issuer and audience under one key begin alike, up to the client's id. A
`SigningPrefix` is that beginning with its hash state, computed once. A token that begins so, is
written as this package writes, and is valid, is read here in one go. Everything else takes the slow
path (``jws``, ``claims``), and only that says what is wrong. The two never disagree, because this
one only ever accepts a token, or refuses its signature.

Function calls would cost as much as the work itself, so this file repeats the code of the others.
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from mintage.crypto.base64url import CLOSING, LAST, TO_URL, encode_segment
from mintage.errors import BadSignature
from mintage.jwt import claims as claims_
from mintage.jwt.algorithms import HS256
from mintage.jwt.claims import Claims
from mintage.jwt.jws import MAX_TOKEN
from mintage.values import Clock

# msgspec writes 32 bytes as a quote, 43 characters, padding and a quote. With the first quote
# turned into a dot, and without the last two, that is how an HS256 token ends.
TAIL: Final = 44
TO_TAIL: Final = bytes.maketrans(b'"+/', b".-_")
_DOT: Final = 46

_END: Final = (-1, -3, -2)  # of a base64 text, by number of bytes modulo 3

_encode = msgspec.json.Encoder().encode
_decode_bytes = msgspec.json.Decoder(bytes).decode
_decode_claims = msgspec.json.Decoder(Claims).decode
_same = hmac.compare_digest

Reader = Callable[[object, str], Claims | None]


class SigningPrefix:
    """The common beginning of all tokens under one key: its *header*, then *opening*.

    *opening* is the beginning of every payload. Only whole groups of three bytes of it are used:
    they are four characters each, whatever follows.
    """

    __slots__ = ("_size", "_text", "inner", "opening", "outer", "text")

    def __init__(self, *, header: bytes, opening: bytes, key: HS256) -> None:
        self.opening = opening[: len(opening) // 3 * 3]
        self._size = len(self.opening)
        self._text = header + b"." + encode_segment(self.opening)
        self.text = self._text.decode()
        inner = key.inner.copy()
        inner.update(self._text)
        self.inner = inner.copy
        self.outer = key.outer.copy

    def sign(self, payload: bytes) -> str:
        """The token of *payload*, which begins with the opening."""
        raw = payload[self._size :]
        rest = _encode(raw)[1 : _END[len(raw) % 3]]
        if not rest.isalnum():
            rest = rest.translate(TO_URL)
        inner = self.inner()
        inner.update(rest)
        outer = self.outer()
        outer.update(inner.digest())
        tail = _encode(outer.digest())[:TAIL].translate(TO_TAIL)
        return (self._text + rest + tail).decode()


def reader(  # noqa: C901 - see above
    prefixes: Mapping[str, SigningPrefix],
    *,
    issuer: str,
    audience: str,
    leeway: float,
    ahead: float,
    clock: Clock,
) -> Reader:
    """A function of (token, token use) that returns the claims of a valid token.

    It returns None if the slow path must decide. Raises `BadSignature`, and what `claims.check`
    raises. All *prefixes* have one length.
    """
    size = max(map(len, prefixes), default=0)
    get = prefixes.get

    def read(token: object, token_use: str) -> Claims | None:
        if type(token) is not str or len(token) > MAX_TOKEN:
            return None
        prefix = get(token[:size])
        if prefix is None or not token.isascii():
            return None
        data = token.encode()
        rest = data[size:-TAIL]
        inner = prefix.inner()
        inner.update(rest)
        outer = prefix.outer()
        outer.update(inner.digest())
        if not _same(_encode(outer.digest())[:TAIL].translate(TO_TAIL), data[-TAIL:]):
            if data[-TAIL] == _DOT and data[-1] in LAST[3]:
                raise BadSignature
            return None
        closing = len(rest) % 4
        if not rest.isalnum() or rest[-1] not in LAST[closing]:
            return None
        try:
            payload = prefix.opening + _decode_bytes(b'"' + rest + CLOSING[closing])
            claims = _decode_claims(payload)
            if _encode(claims) != payload:
                return None
            if claims.upstream_claims is not None:
                claims_.check_depth(claims.upstream_claims, claims_.MAX_DEPTH - 1)
        except (ValueError, OverflowError, RecursionError):
            return None
        now = clock()
        # Leeway only ever lets more in: what is good without it needs no second look.
        if (
            not claims.iat <= now < claims.exp
            or claims.token_use != token_use
            or claims.nbf is not None
        ):
            claims_.check(claims, issuer, audience, token_use, now, leeway, ahead)
        return claims

    return read
