"""Unpadded base64url (RFC 7515 §2), only in its canonical form. No clock, no randomness, no I/O.

msgspec's base64 is four times as fast as binascii's. It reads and writes the standard
alphabet inside a JSON string, which is why there are quotes below.
"""

import base64
from typing import Final

import msgspec

from mintage.errors import MalformedToken

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(bytes).decode
TO_URL: Final = bytes.maketrans(b"+/", b"-_")
FROM_URL: Final = bytes.maketrans(b"-_", b"+/")
_PLUS, _SLASH, _BACKSLASH = b"+/\\"

# By length modulo 4: the padding to put back, and the last characters that leave no stray
# bits. No number of bytes is encoded in 4n + 1 characters.
CLOSING: Final = (b'"', b"", b'=="', b'="')
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
LAST: Final = (_ALPHABET, b"", _ALPHABET[::16], _ALPHABET[::4])

# By number of bytes modulo 3: where the padding and the closing quote begin.
_END: Final = (-1, -3, -2)


def encode_segment(raw: bytes) -> bytes:
    """*raw* as a segment of a token."""
    segment = _encode(raw)[1 : _END[len(raw) % 3]]
    # JSON of ASCII text seldom has the two letters that differ, and this is the faster look.
    return segment if segment.isalnum() else segment.translate(TO_URL)


def decode_segment(segment: bytes) -> bytes:
    """The bytes of *segment*, which is not empty.

    Raises `MalformedToken` on padding, white space, the other alphabet, an impossible length, and
    stray bits in the last character.
    """
    tail = len(segment) % 4
    if not segment or segment[-1] not in LAST[tail]:
        raise MalformedToken
    if not segment.isalnum():
        if _PLUS in segment or _SLASH in segment or _BACKSLASH in segment:
            raise MalformedToken
        segment = segment.translate(FROM_URL)
    try:
        return _decode(b'"' + segment + CLOSING[tail])
    except ValueError:
        raise MalformedToken from None


def encode_text(raw: bytes) -> str:
    """*raw* as text."""
    return encode_segment(raw).decode()


def decode_text(text: str) -> bytes:
    """The bytes of *text*. Raises ``ValueError`` unless it is spelled as `encode_text` does."""
    try:
        return decode_segment(text.encode("ascii"))
    except MalformedToken:
        raise ValueError("not base64url") from None


def decode_lenient(text: str) -> bytes:
    """The bytes of *text* from another program. As in joserfc, padding and stray bits are allowed.

    Raises ``ValueError``. Don't use it for values of this server: each would have many spellings.
    """
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def is_canonical(segment: bytes) -> bool:
    """Whether *segment* is the canonical form of some bytes."""
    try:
        decode_segment(segment)
    except MalformedToken:
        return False
    return True
