"""The keys of an issuer: one signs, all of them verify. No clock, no randomness, no I/O.

Rotation logs nobody out: *add* the new key as a verifying one everywhere, then *activate* it,
then *remove* the old one when its last token has ended. Between two steps every replica
verifies what every other signs.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import msgspec

from mintage.crypto.base64url import encode_segment
from mintage.crypto.derivation import check_signing_key
from mintage.jwt.algorithms import HS256, Algorithm, AnyOf, Signer, Verifier

# What FastMCP 4 emits, and the same header in the other order: neither names a key.
BARE_HEADER: Final = b"eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9"
BARE_HEADER_ALG_FIRST: Final = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"

ACCESS_TOKEN: Final = "at+jwt"  # noqa: S105 - RFC 9068 §2.1
MAX_KEYS: Final = 64
_KID_BYTES: Final = 12


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TokenKey:
    """One key under one algorithm, and the *kid* by which headers name it.

    *jwk* is what may be published: nothing for a symmetric key. *signer* is None where only
    the public half is at hand.
    """

    alg: Algorithm
    kid: str
    verifier: Verifier = field(repr=False)
    signer: Signer | None = field(default=None, repr=False)
    jwk: Mapping[str, str] | None = field(default=None, repr=False)

    @classmethod
    def hs256(cls, key: bytes) -> Self:
        """A symmetric key of at least 32 bytes. Its kid tells nothing about it."""
        check_signing_key(key)
        kid = encode_segment(hmac.digest(key, b"mintage kid", "sha256")[:_KID_BYTES]).decode()
        signer = HS256(key)
        return cls(alg="HS256", kid=kid, verifier=signer, signer=signer)

    @classmethod
    def from_pem(cls, pem: bytes, *, alg: Algorithm | None = None) -> Self:
        """A private key, or a public one that only verifies: P-256, Ed25519 or RSA.

        Ed25519 signs as ``EdDSA``, which every library knows, unless *alg* is ``Ed25519``
        (RFC 9864). Raises ``ValueError`` on any other key, on RSA under 2048 bits, and on an
        encrypted PEM.
        """
        from mintage.jwt import asymmetric

        private, public = asymmetric.load_pem(pem)
        alg = asymmetric.algorithm_of(public, alg)
        kid = asymmetric.thumbprint(public)
        signer = None if private is None else asymmetric.signer(private)
        return cls(
            alg=alg,
            kid=kid,
            verifier=signer or asymmetric.verifier(public),
            signer=signer,
            jwk=asymmetric.public_jwk(public) | {"kid": kid, "use": "sig", "alg": alg},
        )

    def header(self, typ: str) -> bytes:
        """The header segment of the tokens of this key."""
        return encode_header(alg=self.alg, kid=self.kid, typ=typ)


class KeyRing:
    """One *active* key that signs, and any number of *verifying* ones. Bytes are HS256 keys.

    Tokens name their key, so 64 keys cost no more than one. Tokens that name none, as
    FastMCP's and those of ``JWTIssuer(signing_key=bytes)``, verify under every symmetric key.
    """

    def __init__(
        self, active: TokenKey | bytes, verifying: Iterable[TokenKey | bytes] = ()
    ) -> None:
        self.active = _token_key(active)
        self.keys = (self.active, *map(_token_key, verifying))
        if len(self.keys) > MAX_KEYS:
            raise ValueError(f"a key ring holds at most {MAX_KEYS} keys")
        if self.active.signer is None:
            raise ValueError("the active key signs, and this is the public half of one")
        self._signer = self.active.signer
        self._bare = False

    @classmethod
    def of_one(cls, key: bytes) -> Self:
        """A ring of one symmetric key, whose tokens do not name it, as FastMCP's do not."""
        ring = cls(key)
        ring._bare = True
        return ring

    @classmethod
    def of_all(cls, keys: Sequence[TokenKey | bytes]) -> Self:
        """A ring of *keys*: the first is the active one."""
        return cls(keys[0], keys[1:])

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(f'{key.alg} {key.kid}' for key in self.keys)})"

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JWK set (RFC 7517 §5). Symmetric keys are never in it."""
        return {"keys": [dict(key.jwk) for key in self.keys if key.jwk is not None]}

    def signing(self, *, refresh: bool) -> tuple[bytes, Signer]:
        """(header segment, signer) for new tokens."""
        if self._bare:
            return BARE_HEADER, self._signer
        return self.active.header(_typ(self.active.alg, refresh=refresh)), self._signer

    def symmetric(self) -> list[tuple[bytes, HS256]]:
        """(header segment, key) of the HS256 tokens of this ring, the active key's first.

        The segments are all of one length.
        """
        keys = [(key, key.verifier) for key in self.keys]
        return [
            (BARE_HEADER if self._bare else key.header(_typ(key.alg, refresh=False)), verifier)
            for key, verifier in keys
            if isinstance(verifier, HS256)
        ]

    def pins(self) -> dict[str, Verifier]:
        """Every header that a token of this ring can have, and what verifies behind it."""
        pins: dict[str, Verifier] = {}
        for key in self.keys:
            for refresh in (True, False):
                header = key.header(_typ(key.alg, refresh=refresh)).decode()
                pins.setdefault(header, key.verifier)
        symmetric = tuple(key.verifier for key in self.keys if key.alg == "HS256")
        if symmetric:
            bare = symmetric[0] if len(symmetric) == 1 else AnyOf(symmetric)
            pins[BARE_HEADER.decode()] = pins[BARE_HEADER_ALG_FIRST.decode()] = bare
        return pins


def encode_header(*, alg: str, kid: str, typ: str) -> bytes:
    """The header segment of a token whose key is named."""
    header: dict[str, Any] = {"typ": typ, "alg": alg, "kid": kid}
    return encode_segment(msgspec.json.encode(header))


def _typ(alg: Algorithm, *, refresh: bool) -> str:
    # A refresh token never carries RFC 9068's type: a resource server that looks at nothing
    # else must not take one for an access token. Symmetric tokens never leave this issuer.
    return "JWT" if refresh or alg == "HS256" else ACCESS_TOKEN


def _token_key(key: TokenKey | bytes) -> TokenKey:
    return key if isinstance(key, TokenKey) else TokenKey.hs256(key)
