"""Status list tokens: a bit for each token, compressed and signed. Pure.

The format is that of the Token Status List (draft-ietf-oauth-status-list): one bit for each number,
the lowest bit of a byte first; 1 is INVALID. The bytes are compressed with zlib and written as
base64url into a JWT of the type ``statuslist+jwt``.
"""

import zlib
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from mintage.crypto.base64url import decode_text, encode_text
from mintage.errors import BadStatus, MalformedToken, RevokedToken, TokenError
from mintage.jwt.algorithms import Verifier
from mintage.jwt.jws import open_token, sign
from mintage.jwt.keyring import KeyRing

STATUS_LIST: Final = "statuslist+jwt"
MEDIA_TYPE: Final = f"application/{STATUS_LIST}"
MAX_LIST: Final = 4 * 1024 * 1024
"""Characters of a status list token that is read."""

_MAX_BYTES: Final = 2 * 1024 * 1024  # of bits: what a small text may grow to


class StatusList(msgspec.Struct, frozen=True, kw_only=True):
    """What a status list token says. All times are in seconds since the epoch.

    *uri*: where the list is, its ``sub``. *bits*: see `compress`. *aggregation_uri*: where all
    lists of the issuer are listed.
    """

    issuer: str
    uri: str
    iat: int
    exp: int
    ttl: int
    aggregation_uri: str | None = None


def compress(bits: bytes) -> str:
    """*bits* as the member ``lst``."""
    # Almost all bits are 0, and the others are at random: runs are all that can be found. The usual
    # search would take 300 times as long, and all requests would wait.
    engine = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return encode_text(engine.compress(bits) + engine.flush())


def encode(listed: StatusList, lst: str, keys: KeyRing) -> str:
    """The signed token of *listed*, with the compressed bits *lst*."""
    status_list: dict[str, Any] = {"bits": 1, "lst": lst}
    if listed.aggregation_uri is not None:
        status_list["aggregation_uri"] = listed.aggregation_uri
    payload = {
        "iss": listed.issuer,
        "sub": listed.uri,
        "iat": listed.iat,
        "exp": listed.exp,
        "ttl": listed.ttl,
        "status_list": status_list,
    }
    active = keys.active
    if active.signer is None or active.alg == "HS256":
        raise ValueError("a status list is signed with an asymmetric key")
    return sign(
        msgspec.json.encode(payload), header=active.header(STATUS_LIST), signer=active.signer
    )


class _Bits(msgspec.Struct, frozen=True):
    lst: str
    bits: Literal[1]


class _Payload(msgspec.Struct, frozen=True):
    iss: str
    sub: str
    iat: int
    exp: int
    status_list: _Bits
    ttl: int | None = None


_decode = msgspec.json.Decoder(_Payload).decode


class BadStatusList(TokenError):
    """A status list can't be used. The text says why."""

    error = "bad_status_list"
    description = "The status list can't be used"


class ReadList(msgspec.Struct, frozen=True):
    """A verified list. *iat*, *exp*: in seconds since the epoch. *ttl*: in seconds, if it says."""

    bits: bytes
    iat: int
    exp: int
    ttl: int | None


def read(token: str, pins: Mapping[str, Verifier], *, issuer: str, uri: str) -> ReadList:
    """The list in *token*, which was fetched from *uri* (Token Status List §8.3).

    The caller checks the times. Raises `BadStatusList`, or `TokenError` for a key that *pins* does
    not have and for a wrong signature.
    """
    payload = open_token(token, pins, most=MAX_LIST)
    try:
        said = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadStatusList(f"it has not the members that a list must have: {error}") from None
    if said.iss != issuer:
        raise BadStatusList("it is of another issuer")
    if said.sub != uri:
        raise BadStatusList("its sub is not the address of the list")
    return ReadList(_decompress(said.status_list.lst), said.iat, said.exp, said.ttl)


def check_status(claims: Mapping[str, Any], bits: bytes, uri: str) -> None:
    """Raises `RevokedToken` or `BadStatus` unless the token with *claims* is valid by *bits*."""
    match claims.get("status"):
        case {"status_list": {"idx": int(idx), "uri": str(named)}} if type(idx) is int:
            pass
        case _:
            raise BadStatus("The token names no place in a status list")
    if named != uri:
        raise BadStatus("The token names another status list")
    if not 0 <= idx < len(bits) * 8:
        raise BadStatus("The token names a place that the status list does not have")
    if bits[idx // 8] >> idx % 8 & 1:
        raise RevokedToken


def _decompress(lst: str) -> bytes:
    """The bits in *lst*. A few bytes that would become gigabytes are not expanded."""
    try:
        engine = zlib.decompressobj()
        bits = engine.decompress(decode_text(lst), _MAX_BYTES)
    except (zlib.error, ValueError, MalformedToken):
        raise BadStatusList("its lst is no zlib in base64url") from None
    if not engine.eof or engine.unused_data:
        raise BadStatusList("its lst is cut off, or too large")
    return bits
