"""Status list tokens: a bit for each token, compressed and signed. Pure.

The format is that of the Token Status List (draft-ietf-oauth-status-list): one bit for each number,
the lowest bit of a byte first; 1 is INVALID. The bytes are compressed with zlib and written as
base64url into a JWT of the type ``statuslist+jwt``.
"""

import zlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from mintage.crypto.base64url import encode_text
from mintage.jwt.jws import sign
from mintage.jwt.keyring import KeyRing

STATUS_LIST: Final = "statuslist+jwt"
MEDIA_TYPE: Final = f"application/{STATUS_LIST}"
_LEVEL: Final = 9  # the draft asks for the highest one


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusList:
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
    return encode_text(zlib.compress(bits, _LEVEL))


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
