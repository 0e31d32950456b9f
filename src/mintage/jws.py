"""Strict compact JWS (RFC 7515 §7.1) with pinned headers. No clock, no dice, no I/O.

An issuer only ever verifies what it signed itself, so it knows every header that a good
token can have, byte for byte. The raw first segment is looked up in a table of those, and
what is not in the table is refused unread: ``alg: none``, another algorithm under the same
key, ``kid``, ``jku``, ``jwk`` and ``crit`` tricks have nothing to act on.

The same goes further: of one issuer and audience, all tokens under one key begin alike, up
to the client's id. A `Stem` is that beginning with the hash of it, computed once.
"""

import hmac
from collections.abc import Mapping
from typing import Final

import msgspec

from mintage.algorithms import HS256, Signer, Verifier
from mintage.base64url import decode_segment, encode_segment, is_canonical
from mintage.errors import BadSignature, MalformedToken, UnknownKey

MAX_TOKEN: Final = 16 * 1024  # characters

_DOTS: Final = 2
_encode = msgspec.json.Encoder().encode

# msgspec writes 32 bytes as a quote, 43 characters, padding and a quote. With the first quote
# turned into the dot, that is how an HS256 token ends.
_TAIL: Final = 44
_TO_TAIL: Final = bytes.maketrans(b'"+/', b".-_")


def sign(payload: bytes, *, header: bytes, signer: Signer) -> str:
    """The compact token of *payload*. *header* is the encoded segment that pins the key."""
    signing_input = header + b"." + encode_segment(payload)
    return (signing_input + b"." + signer.sign(signing_input)).decode("ascii")


def open_token(token: object, pins: Mapping[str, Verifier]) -> bytes:
    """The payload of *token*, whose header is one of *pins* and whose signature is good.

    Raises `MalformedToken`, `UnknownKey` or `BadSignature`, and nothing else, whatever
    *token* is.
    """
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        raise MalformedToken
    header = token[: token.find(".")]
    verifier = pins.get(header)
    if verifier is None:
        raise UnknownKey if token.count(".") == _DOTS else MalformedToken
    try:
        signing_input, _, signature = token.encode("ascii").rpartition(b".")
    except UnicodeEncodeError:
        raise MalformedToken from None
    if not verifier.is_signature(signing_input, signature):
        raise _what_is_wrong(token)
    return decode_segment(signing_input[len(header) + 1 :])


class Stem:
    """The common beginning of all tokens under one HS256 key: the header, then *opening*.

    *opening* is how every payload begins. Only whole groups of three bytes of it are used:
    they stand as four characters each, whatever follows.
    """

    __slots__ = ("_inner", "_outer", "_text", "opening", "text")

    def __init__(self, *, header: bytes, opening: bytes, key: HS256) -> None:
        self.opening = opening[: len(opening) // 3 * 3]
        self._text = header + b"." + encode_segment(self.opening)
        self.text = self._text.decode()
        inner = key.inner.copy()
        inner.update(self._text)
        self._inner = inner.copy
        self._outer = key.outer.copy

    def sign(self, payload: bytes) -> str:
        """The token of *payload*, which begins with the opening."""
        rest = encode_segment(payload[len(self.opening) :])
        return (self._text + rest + self._tail(rest)).decode()

    def open(self, token: bytes) -> bytes:
        """The payload of *token*, which begins with the text. Raises as `open_token` does."""
        rest = token[len(self._text) : -_TAIL]
        if not hmac.compare_digest(self._tail(rest), token[-_TAIL:]):
            raise _what_is_wrong(token.decode())
        return self.opening + decode_segment(rest)

    def _tail(self, rest: bytes) -> bytes:
        """The dot and the signature of the token that goes on with *rest*."""
        inner = self._inner()
        inner.update(rest)
        outer = self._outer()
        outer.update(inner.digest())
        return _encode(outer.digest())[:_TAIL].translate(_TO_TAIL)


def _what_is_wrong(token: str) -> BadSignature | MalformedToken:
    """Tells a signature that is wrong from one that is none, for whoever reads the log."""
    signature = token.rpartition(".")[2].encode("ascii")
    if token.count(".") == _DOTS and is_canonical(signature):
        return BadSignature()
    return MalformedToken()
