"""The keys of an issuer: one signs, all of them verify. No clock, no randomness, no I/O.

Rotate a key in three steps, and no user has to log in again: *add* the new key as a verifying one
everywhere, then *activate* it, then *remove* the old one when its last token has ended. Between
two steps every replica verifies what every other one signs.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
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


class TokenKey(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One key with its algorithm. `hs256` and `from_pem` make one.

    Args:
        alg: ``HS256``, ``ES256``, ``EdDSA``, ``Ed25519`` or ``RS256`` (RFC 7518 §3.1, RFC 9864).
        kid: The name of the key in token headers (RFC 7515 §4.1.4).
        verifier: Verifies signatures with it.
        signer: Signs with it. None if only the public half is known.
        jwk: The public key to publish (RFC 7517). None for a symmetric key.
    """

    alg: Algorithm
    kid: str
    verifier: Verifier
    signer: Signer | None = None
    jwk: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        return f"TokenKey(alg={self.alg!r}, kid={self.kid!r})"

    @classmethod
    def hs256(cls, key: bytes) -> Self:
        """A symmetric key. Its ``kid`` gives no hint of the key.

        Args:
            key: At least 32 bytes (RFC 7518 §3.2). `derive_jwt_key` makes them.

        Returns:
            The key, which signs and verifies.

        Raises:
            ValueError: It is too short, or one byte repeated.
        """
        check_signing_key(key)
        kid = encode_segment(hmac.digest(key, b"mintage kid", "sha256")[:_KID_BYTES]).decode()
        signer = HS256(key)
        return cls(alg="HS256", kid=kid, verifier=signer, signer=signer)

    @classmethod
    def from_pem(cls, pem: bytes, *, alg: Algorithm | None = None) -> Self:
        """An asymmetric key. Its ``kid`` is the key's thumbprint (RFC 7638).

        Args:
            pem: A private key, or a public key, which only verifies: P-256, Ed25519, or RSA of at
                least 2048 bits. It may not be encrypted.
            alg: The algorithm. None: the usual one of the key's type, which is ``EdDSA`` for
                Ed25519 because more libraries know it than ``Ed25519`` (RFC 9864).

        Returns:
            The key.

        Raises:
            ValueError: It is not such a key, or *alg* does not fit it.
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
        """The header of this key's tokens.

        Args:
            typ: The media type in it: ``at+jwt`` or ``JWT`` (RFC 7515 §4.1.9, RFC 9068 §2.1).

        Returns:
            The first segment of the compact JWS.
        """
        return encode_header(alg=self.alg, kid=self.kid, typ=typ)


class KeyRing:
    """The keys of an issuer: one signs, and all of them verify (RFC 7515 §4.1.4).

    A token names its key in the header, so that 64 keys cost no more time than one. FastMCP's
    tokens, and those of ``JWTIssuer(signing_key=bytes)``, name none: they are tried under each
    symmetric key.

    Args:
        active: The key that signs. Bytes are an HS256 key of at least 32 bytes.
        verifying: More keys whose tokens are accepted.

    Raises:
        TypeError: A key is text.
        ValueError: There are more than 64 keys, or *active* is only the public half of one.
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
        """A ring of one symmetric key. Its tokens do not name the key, as FastMCP's do not.

        Args:
            key: An HS256 key of at least 32 bytes.

        Returns:
            The ring.

        Raises:
            TypeError: The key is text.
            ValueError: The key is too short, or one byte repeated.
        """
        ring = cls(key)
        ring._bare = True
        return ring

    @classmethod
    def of_all(cls, keys: Sequence[TokenKey | bytes]) -> Self:
        """A ring of several keys.

        Args:
            keys: At least one key. The first is the active one.

        Returns:
            The ring.

        Raises:
            TypeError: A key is text.
            ValueError: There are more than 64, or the first is only the public half of a key.
        """
        return cls(keys[0], keys[1:])

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(f'{key.alg} {key.kid}' for key in self.keys)})"

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys, to be published as a JWK set (RFC 7517 §5).

        Returns:
            ``{"keys": [...]}``. Symmetric keys are never in it.
        """
        return {"keys": [dict(key.jwk) for key in self.keys if key.jwk is not None]}

    def signing(self, *, refresh: bool) -> tuple[bytes, Signer]:
        """What new tokens are signed with.

        Args:
            refresh: Whether the tokens are refresh tokens. Those never carry the type ``at+jwt``.

        Returns:
            The header segment and the signer.
        """
        if self._bare:
            return BARE_HEADER, self._signer
        return self.active.header(_typ(self.active.alg, refresh=refresh)), self._signer

    def symmetric(self) -> list[tuple[bytes, HS256]]:
        """The HS256 keys of this ring, the active one first.

        Returns:
            For each the header segment of its tokens, and the key. All segments have one length.
        """
        keys = [(key, key.verifier) for key in self.keys]
        return [
            (BARE_HEADER if self._bare else key.header(_typ(key.alg, refresh=False)), verifier)
            for key, verifier in keys
            if isinstance(verifier, HS256)
        ]

    def pins(self) -> dict[str, Verifier]:
        """Every header that a token of this ring can have.

        Returns:
            By the text of the header segment, what verifies the signature behind it.
        """
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
    _refuse_text(key)
    return key if isinstance(key, TokenKey) else TokenKey.hs256(key)


def _refuse_text(key: object) -> None:
    if isinstance(key, str):
        raise TypeError(
            "a key is bytes, and this is a str: derive_jwt_key(high_entropy_material=…, salt=…) "
            "makes a key of a random string"
        )
