"""The handle of a grant: a secret *S* that decrypts it, and the names derived from it.

*S* is in the code and in every token's ``jti``. The store has only a hash of it, so the
database alone decrypts nothing (see ``sealing``).

==========  ==============================  =======================================
name        made of                         who may see it
==========  ==============================  =======================================
code        S, 16 bytes of its own          the client, once
jti         S, generation, kind             the client, inside its token
store key   SHA-256 of S                    the store
GrantId     the store key's first 10 bytes  everybody: logs, admin pages, references
==========  ==============================  =======================================
"""

import base64
import hashlib
import re
from binascii import a2b_base64, b2a_base64
from functools import lru_cache
from typing import Literal

import msgspec

from mintage.crypto.base64url import FROM_URL, TO_URL, decode_text, encode_text
from mintage.values import GrantId, Jti

SECRET_BYTES = 16
CODE_BYTES = SECRET_BYTES + 16
# 21 bytes are 28 characters, without padding and without stray bits: each text of these is the
# only one for its bytes.
_is_jti = re.compile(r"[A-Za-z0-9_-]{28}").fullmatch
_ID_BYTES = 10

Kind = Literal["access", "refresh", "exchanged"]
"""``exchanged``: an access token that a backend got for another one (RFC 8693)."""

_KINDS: dict[Kind, bytes] = {"access": b"a", "refresh": b"r", "exchanged": b"x"}
_BY_MARK = {mark: kind for kind, mark in _KINDS.items()}


class Handle(msgspec.Struct, frozen=True):
    """The content of a ``jti``: the grant's *secret*, and the generation."""

    secret: bytes
    generation: int
    kind: Kind

    @property
    def grant(self) -> GrantId:
        """The public name of the grant."""
        return grant_id(store_key(self.secret))

    def __repr__(self) -> str:
        return f"Handle({self.grant}, {self.kind} {self.generation})"


@lru_cache(maxsize=32)
def store_key(secret: bytes) -> bytes:
    """The 32-byte key of the grant of *secret* in the store. One request asks several times."""
    return hashlib.sha256(b"mintage grant\0" + secret).digest()


def parse_grant_id(name: str) -> bytes | None:
    """The first bytes of the store key of the grant called *name*; None if it can't be a name."""
    try:
        raw = base64.b32decode(name.upper())
    except ValueError:
        return None
    return raw if len(raw) == _ID_BYTES and name else None


@lru_cache(maxsize=256)
def grant_id(key: bytes) -> GrantId:
    """The public name of the grant with this store key."""
    return GrantId(base64.b32encode(key[:_ID_BYTES]).decode().lower())


def make_jti(secret: bytes, generation: int, kind: Kind) -> Jti:
    raw = secret + generation.to_bytes(4, "big") + _KINDS[kind]
    return Jti(b2a_base64(raw, newline=False).translate(TO_URL).decode())


def parse_jti(jti: str) -> Handle | None:
    """The handle in *jti*, or None if it is not one of Mintage's."""
    if _is_jti(jti) is None:
        return None
    raw = a2b_base64(jti.encode().translate(FROM_URL))
    kind = _BY_MARK.get(raw[-1:])
    if kind is None:
        return None
    return Handle(raw[:SECRET_BYTES], int.from_bytes(raw[SECRET_BYTES:-1], "big"), kind)


def make_code(raw: bytes) -> str:
    """The authorization code from 32 random bytes. The first 16 of them are the grant's secret."""
    return encode_text(raw)


def parse_code(code: str) -> tuple[bytes, bytes] | None:
    """(grant secret, hash of the code) of an authorization code, or None if it can't be one."""
    raw = _decode(code, CODE_BYTES)
    return None if raw is None else (raw[:SECRET_BYTES], code_hash(raw))


def name_of_code(code: str) -> GrantId | None:
    """The public name of the grant that *code* opens; None if it can't be a code."""
    parsed = parse_code(code)
    return None if parsed is None else grant_id(store_key(parsed[0]))


def code_hash(raw: bytes) -> bytes:
    return hashlib.sha256(b"mintage code\0" + raw).digest()


def _decode(text: str, size: int) -> bytes | None:
    """*text* as exactly *size* bytes of canonical unpadded base64url, else None."""
    try:
        raw = decode_text(text)
    except ValueError:
        return None
    return raw if len(raw) == size else None
