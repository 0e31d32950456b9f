"""Strict compact JWS (RFC 7515 §7.1) with pinned headers. No clock, no dice, no I/O.

An issuer only ever verifies what it signed itself, so it knows every header that a good
token can have, byte for byte. The raw first segment is looked up in a table of those, and
what is not in the table is refused unread: ``alg: none``, another algorithm under the same
key, ``kid``, ``jku``, ``jwk`` and ``crit`` tricks have nothing to act on.

The signature of a segment is compared in its encoded form, and the payload must be spelled
the one canonical way, so no two strings are the same token.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec

from mintage.errors import BadSignature, MalformedToken, UnknownKey

MAX_TOKEN: Final = 16 * 1024  # characters

# What FastMCP 4.1 and this package emit, and the same header in the other order.
HEADER: Final = b"eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9"
HEADER_ALG_FIRST: Final = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"

# msgspec's base64 is four times as fast as binascii's. It reads and writes the standard
# alphabet inside a JSON string, which is what the quotes below are for.
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(bytes).decode
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_PLUS, _SLASH, _BACKSLASH, _MINUS, _UNDERSCORE = b"+/\\-_"

# By length modulo 4: the padding to put back, and the last characters that leave no stray
# bits. No number of bytes is encoded in 4n + 1 characters.
_CLOSING: Final = (b'"', b"", b'=="', b'="')
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_LAST: Final = (_ALPHABET, b"", _ALPHABET[::16], _ALPHABET[::4])


class Key(Protocol):
    """A key under one algorithm, as a header pins it."""

    def sign(self, signing_input: bytes) -> bytes:
        """The signature, as an encoded segment."""

    def is_signature(self, signing_input: bytes, segment: bytes) -> bool:
        """Whether *segment* is the canonical spelling of a good signature."""


class HmacKey:
    """HS256 (RFC 7518 §3.2) with both keyed SHA-256 states computed once (RFC 2104 §4)."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block)).copy
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block)).copy

    def sign(self, signing_input: bytes) -> bytes:
        inner = self._inner()
        inner.update(signing_input)
        outer = self._outer()
        outer.update(inner.digest())
        return _encode(outer.digest())[1:44].translate(_TO_URL)

    def is_signature(self, signing_input: bytes, segment: bytes) -> bool:
        return hmac.compare_digest(self.sign(signing_input), segment)

    def __repr__(self) -> str:
        return "HmacKey(…)"


_BLOCK: Final = 64  # bytes that SHA-256 takes at once


def sign(payload: bytes, *, header: bytes, key: Key) -> str:
    """The compact token of *payload*. *header* is the encoded segment that pins *key*."""
    signing_input = header + b"." + encode_segment(payload)
    return (signing_input + b"." + key.sign(signing_input)).decode("ascii")


def open_token(token: object, keys: Mapping[str, Key]) -> bytes:
    """The payload of *token*, whose header is one of *keys* and whose signature is good.

    Raises `MalformedToken`, `UnknownKey` or `BadSignature`, and nothing else, whatever
    *token* is.
    """
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        raise MalformedToken
    header = token.partition(".")[0]
    key = keys.get(header)
    if key is None:
        raise UnknownKey if token.count(".") == _DOTS else MalformedToken
    try:
        signing_input, _, signature = token.encode("ascii").rpartition(b".")
    except UnicodeEncodeError:
        raise MalformedToken from None
    if not key.is_signature(signing_input, signature):
        raise _what_is_wrong(token)
    return decode_segment(signing_input[len(header) + 1 :])


_DOTS: Final = 2


def _what_is_wrong(token: str) -> BadSignature | MalformedToken:
    """Tells a signature that is wrong from one that is none, for whoever reads the log."""
    signature = token.rpartition(".")[2].encode("ascii")
    if token.count(".") == _DOTS and is_canonical(signature):
        return BadSignature()
    return MalformedToken()


def encode_segment(raw: bytes) -> bytes:
    """*raw* as unpadded base64url (RFC 7515 §2)."""
    return _encode(raw)[1:-1].rstrip(b"=").translate(_TO_URL)


def decode_segment(segment: bytes) -> bytes:
    """The bytes of an unpadded base64url *segment*.

    Raises `MalformedToken` on padding, white space, the other alphabet, a length that no
    bytes have, and stray bits in the last character.
    """
    tail = len(segment) % 4
    if not segment or segment[-1] not in _LAST[tail]:
        raise MalformedToken
    if _PLUS in segment or _SLASH in segment or _BACKSLASH in segment:
        raise MalformedToken
    if _MINUS in segment or _UNDERSCORE in segment:
        segment = segment.translate(_FROM_URL)
    try:
        return _decode(b'"' + segment + _CLOSING[tail])
    except ValueError:
        raise MalformedToken from None


def is_canonical(segment: bytes) -> bool:
    """Whether *segment* is the one way to write some bytes in base64url."""
    try:
        decode_segment(segment)
    except MalformedToken:
        return False
    return True
