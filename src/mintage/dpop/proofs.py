"""Verifies a DPoP proof: a JWT that a client makes for one request (RFC 9449 §4.3). Pure.

Its payload is checked before its signature: that costs less, and hides nothing that the client does
not know.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.crypto.base64url import decode_segment, encode_segment
from mintage.dpop.keys import ProofKey, read_header
from mintage.dpop.nonces import Nonces
from mintage.dpop.uris import normalized
from mintage.errors import InvalidDpopProof, MalformedToken, UseDpopNonce

MAX_PROOF: Final = 8 * 1024  # bytes
MAX_SECONDS: Final = 300  # the draft of MCP's extension allows no more
DEFAULT_SECONDS: Final = 60
_MAX_JTI: Final = 256
_MAX_KEYS: Final = 4096
_SEGMENTS: Final = 3


class Proof(msgspec.Struct, frozen=True):
    """A valid proof. *thumbprint*: of its key (RFC 7638). *jti*: the proof's own name.

    *too_old_at*: when it is not accepted any more, in seconds since the epoch.
    """

    thumbprint: str
    jti: str
    too_old_at: float
    nonce: str | None = None


class _Claims(msgspec.Struct, frozen=True):
    jti: str
    htm: str
    htu: str
    iat: int | float
    ath: str | None = None
    nonce: str | None = None


_decode: Final = msgspec.json.Decoder(_Claims).decode


class Proofs:
    """Verifies proofs. It remembers the keys of headers: a client sends the same one each time.

    Args:
        seconds: How old a proof may be, and how far ahead the client's clock, 1 to 300.
        nonces: The nonces that proofs must have. None: they need none.

    Raises:
        ValueError: *seconds* is out of range.
    """

    def __init__(self, *, seconds: int = DEFAULT_SECONDS, nonces: Nonces | None = None) -> None:
        if not 1 <= seconds <= MAX_SECONDS:
            raise ValueError(f"a proof is accepted for 1 to {MAX_SECONDS} seconds")
        self._seconds = seconds
        self.nonces = nonces
        self._keys: BoundedMemory[bytes, ProofKey] = BoundedMemory(_MAX_KEYS)

    def read(
        self,
        values: Sequence[bytes],
        *,
        method: str,
        uri: str,
        now: float,
        access_token: str | None = None,
    ) -> Proof:
        """Verify the proof of one request.

        Args:
            values: The values of all ``DPoP`` headers. There must be exactly one.
            method: The request's method, which ``htm`` must be.
            uri: The request's URI, which ``htu`` must be. Query and fragment are ignored.
            now: The time, in seconds since the epoch.
            access_token: The token that the request has. ``ath`` must be its hash. None at the
                token endpoint, where there is none.

        Returns:
            The proof. Compare its thumbprint with the key that the token is bound to.

        Raises:
            UseDpopNonce: It lacks a nonce, or has an old one. The error has the new one.
            InvalidDpopProof: It is not valid for this request, now.
        """
        header, payload, signature, data = _segments(values)
        known = self._keys.get(header)
        key = read_header(header) if known is None else known
        try:
            claims = _decode(decode_segment(payload))
        except (MalformedToken, ValueError, RecursionError):
            raise InvalidDpopProof(
                "the DPoP proof must have the claims jti, htm, htu and iat (RFC 9449 section 4.2)"
            ) from None
        self._check(claims, method, uri, now)
        if access_token is not None and claims.ath != hash_of(access_token):
            raise InvalidDpopProof("ath of the DPoP proof must be the hash of this access token")
        try:
            key.verify(decode_segment(signature), data)
        except (InvalidSignature, MalformedToken, ValueError):
            raise InvalidDpopProof("the signature of the DPoP proof does not verify") from None
        if self.nonces is not None and not self.nonces.accepts(claims.nonce, now):
            raise UseDpopNonce(
                "make the DPoP proof again with the nonce of this answer",
                nonce=self.nonces.current(now),
            )
        if known is None:
            self._keys[header] = key
        return Proof(key.thumbprint, claims.jti, claims.iat + self._seconds, claims.nonce)

    def _check(self, claims: _Claims, method: str, uri: str, now: float) -> None:
        if not 0 < len(claims.jti) <= _MAX_JTI:
            raise InvalidDpopProof(f"jti of the DPoP proof must have 1 to {_MAX_JTI} characters")
        if claims.htm != method:
            raise InvalidDpopProof("htm of the DPoP proof must be the method of this request")
        if claims.htu != uri:
            ours = normalized(uri)
            if ours is None or normalized(claims.htu) != ours:
                raise InvalidDpopProof(
                    "htu of the DPoP proof must be the URL of this request: "
                    + (ours or uri).partition("?")[0]
                )
        if not now - self._seconds < claims.iat <= now + self._seconds:
            raise InvalidDpopProof(
                f"iat of the DPoP proof must be within {self._seconds} seconds of the server's "
                "clock: make a proof for each request, and check the clock",
                reason=f"iat is {claims.iat - now:+.0f} seconds from now",
            )


def _segments(values: Sequence[bytes]) -> tuple[bytes, bytes, bytes, bytes]:
    """(header, payload, signature, what is signed) of the one proof. None of it is verified."""
    if len(values) != 1:
        raise InvalidDpopProof("send one DPoP header with one proof")
    proof = values[0]
    if len(proof) > MAX_PROOF:
        raise InvalidDpopProof(f"a DPoP proof may have at most {MAX_PROOF} bytes")
    segments = proof.split(b".", _SEGMENTS)
    if len(segments) != _SEGMENTS:
        raise InvalidDpopProof("the DPoP proof must be a JWT in compact form")
    header, payload, signature = segments
    return header, payload, signature, proof[: -1 - len(signature)]


def proof_headers(headers: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """The values of all ``DPoP`` headers of a request."""
    if b"dpop" not in dict(headers):  # most requests have none, and this is the faster look
        return []
    return [value for name, value in headers if name == b"dpop"]


@lru_cache(maxsize=1024)
def hash_of(access_token: str) -> str:
    """``ath``: the hash of an access token (RFC 9449 §4.2). A client sends its token many times."""
    return encode_segment(hashlib.sha256(access_token.encode()).digest()).decode()
