"""The files with which nginx, HAProxy and Envoy verify access tokens by themselves. Pure.

A proxy compares the first segment of a token, byte by byte, with the headers that the issuer's keys
can have. So ``alg``, ``typ`` and ``kid`` are fixed, and no proxy parses a header.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from textwrap import wrap
from typing import Final

import msgspec

from mintage.crypto.base64url import decode_lenient
from mintage.errors import BadKeySet, MalformedToken
from mintage.jwt.asymmetric import ES256Public, parse_jwks
from mintage.jwt.jws import open_token
from mintage.jwt.keyring import ACCESS_TOKEN, encode_header
from mintage.jwt.status_list import STATUS_LIST

MOST_KEYS: Final = 2
"""The proxies' configurations name so many files of keys: one that signs, and its successor."""

MAX_LIST: Final = 4 * 1024 * 1024
"""Bytes of the decompressed list: 32 million numbers."""


class _List(msgspec.Struct, frozen=True):
    bits: int
    lst: str


class _StatusClaims(msgspec.Struct, frozen=True):
    iss: str
    sub: str
    iat: int
    exp: int
    status_list: _List


class Ended(msgspec.Struct, frozen=True):
    """The ended logins: *bits* by number, the lowest bit of a byte first. True until *until*."""

    bits: bytes
    until: int

    def numbers(self) -> list[int]:
        """The numbers of the tokens that are not valid any more."""
        return [
            8 * at + bit for at, byte in enumerate(self.bits) if byte for bit in range(8)
            if byte >> bit & 1
        ]  # fmt: skip


def key_files(jwks: bytes) -> dict[str, bytes]:
    """The files about the ES256 keys of *jwks*, by name. Raises `BadKeySet`.

    ``key-1.pem`` and ``key-2.pem`` are the same if there is one key only: a proxy that is started
    between two rotations finds both.
    """
    keys = [(kid, key) for _, kid, key in parse_jwks(jwks) if isinstance(key, ES256Public)]
    if not 1 <= len(keys) <= MOST_KEYS:
        raise BadKeySet(f"{len(keys)} keys for ES256: proxies take one, or two while you rotate")
    headers = [encode_header(alg="ES256", kid=kid, typ=ACCESS_TOKEN).decode() for kid, _ in keys]
    encoded = [base64.b64encode(key.subject_public_key_info()).decode() for _, key in keys]
    lines = "".join(f"{header} {number}\n" for number, header in enumerate(headers, 1))
    return {
        "key-1.pem": _pem(encoded[0]),
        "key-2.pem": _pem(encoded[-1]),
        "headers.map": lines.encode(),
        "keys.json": json.dumps(dict(zip(headers, encoded, strict=True))).encode(),
    }


def _pem(text: str) -> bytes:
    lines = "\n".join(wrap(text, 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n".encode()


def ended_files(ended: Ended) -> dict[str, bytes]:
    """The files about ended logins, by name."""
    lines = "".join(f"{number} 1\n" for number in ended.numbers())
    return {
        "ended": b"%d\n" % ended.until + ended.bits,
        "ended.map": f"until {ended.until}\nsize {8 * len(ended.bits)}\n{lines}".encode(),
    }


def read_status_list(token: str, jwks: bytes, *, issuer: str, uri: str, now: float) -> Ended:
    """The list in a status list token (Token Status List §5.1, §8.3).

    Raises `TokenError` if it is not the list at *uri* that *issuer* signed, or is over.
    """
    pins = {
        encode_header(alg=alg, kid=kid, typ=STATUS_LIST).decode(): key
        for alg, kid, key in parse_jwks(jwks)
    }
    try:
        claims = msgspec.json.decode(open_token(token, pins), type=_StatusClaims)
        if claims.iss != issuer or claims.sub != uri or claims.status_list.bits != 1:
            raise MalformedToken("this is not the status list of this issuer")
        bits = _decompressed(decode_lenient(claims.status_list.lst))
    except (msgspec.MsgspecError, ValueError, zlib.error) as error:
        raise MalformedToken("this is no status list") from error
    if claims.exp <= now:
        raise MalformedToken("the status list is over: is this machine's clock right?")
    return Ended(bits, claims.exp)


def _decompressed(data: bytes) -> bytes:
    """The whole of it, or ``ValueError``: a small file can hold gigabytes."""
    stream = zlib.decompressobj()
    bits = stream.decompress(data, MAX_LIST)
    if not stream.eof:
        raise ValueError("the list is too long")
    return bits


def changed(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> dict[str, bytes]:
    """Those of *now* that are other than *before*."""
    return {name: text for name, text in now.items() if before.get(name) != text}
