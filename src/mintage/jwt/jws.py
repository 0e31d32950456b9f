"""Strict compact JWS (RFC 7515 §7.1) with pinned headers. No clock, no randomness, no I/O.

An issuer verifies only tokens that it signed itself, so it knows every header that a valid token
can have, byte for byte. It looks the raw first segment up in a table of those, and refuses any
other segment without parsing it. So ``alg: none``, another algorithm under the same key, and tricks
with ``kid``, ``jku``, ``jwk`` and ``crit`` have no effect.
"""

from collections.abc import Mapping
from typing import Final

from mintage.crypto.base64url import decode_segment, encode_segment, is_canonical
from mintage.errors import BadSignature, MalformedToken, UnknownKey
from mintage.jwt.algorithms import Signer, Verifier

MAX_TOKEN: Final = 16 * 1024  # characters

_DOTS: Final = 2


def sign(payload: bytes, *, header: bytes, signer: Signer) -> str:
    """The compact token of *payload*. *header* is the encoded segment that pins the key."""
    signing_input = header + b"." + encode_segment(payload)
    return (signing_input + b"." + signer.sign(signing_input)).decode("ascii")


def open_token(token: object, pins: Mapping[str, Verifier], *, most: int = MAX_TOKEN) -> bytes:
    """The payload of *token*, if its header is one of *pins* and its signature is valid.

    *most*: how many characters it may have. Raises `MalformedToken`, `UnknownKey` or
    `BadSignature`, and nothing else, whatever *token* is.
    """
    if not isinstance(token, str) or len(token) > most:
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


def _what_is_wrong(token: str) -> BadSignature | MalformedToken:
    """Tells a wrong signature from a text that is no signature, for the log."""
    signature = token.rpartition(".")[2].encode("ascii")
    if token.count(".") == _DOTS and is_canonical(signature):
        return BadSignature()
    return MalformedToken()
