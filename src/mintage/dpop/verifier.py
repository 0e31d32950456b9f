"""Verifies the token of a whole request in another program, with its DPoP proof if it has one."""

import time
from collections.abc import Iterable

from mintage.dpop.proofs import DEFAULT_SECONDS, Proofs, proof_headers
from mintage.dpop.replays import Replays
from mintage.errors import InvalidDpopProof, MalformedToken
from mintage.jwt.claims import Claims
from mintage.jwt.verifier import JWTVerifier
from mintage.values import Clock

Header = tuple[str, str] | tuple[bytes, bytes]


class RequestVerifier:
    """Verifies the access token in ``Authorization``: ``Bearer``, or ``DPoP`` with its proof.

    Args:
        verifier: Verifies the token itself.
        proof_seconds: How many seconds the time in a proof may differ from this machine's clock, 1
            to 300 (RFC 9449 §11.1).
        refuse_replays: Whether a proof is refused that this object has seen. Each process remembers
            its own.
        clock: Called for the time, in seconds since the epoch. Tests pass their own.

    Raises:
        ValueError: *proof_seconds* is out of range.
    """

    def __init__(
        self,
        verifier: JWTVerifier,
        *,
        proof_seconds: int = DEFAULT_SECONDS,
        refuse_replays: bool = True,
        clock: Clock = time.time,
    ) -> None:
        self._verifier = verifier
        self._proofs = Proofs(seconds=proof_seconds)
        self._replays = Replays() if refuse_replays else None
        self._clock = clock

    async def verify(self, headers: Iterable[Header], *, method: str, url: str) -> Claims:
        """Verify the token of a request (RFC 6750 §2.1, RFC 9449 §7.1).

        Args:
            headers: All headers of the request, as pairs of name and value, text or bytes. Pass a
                header that came twice as two pairs.
            method: The method of the request.
            url: The URL that the client called: the public one, if there is a proxy in front of
                you. Take its origin from your configuration, not from ``Host``.

        Returns:
            The registered claims of the token.

        Raises:
            TokenError: There is no valid token, or one that is bound to a key came without its
                proof. Answer 401.
            InvalidDpopProof: The proof is not valid for this request. Answer 401, with its code.
            KeysUnavailable: The issuer's keys can't be fetched now. Answer 503, never 401.
        """
        sent = [_as_bytes(header) for header in headers]
        scheme, token = _credential(sent)
        if scheme == "bearer":
            return await self._verifier.verify(token)
        now = self._clock()
        proof = self._proofs.read(
            proof_headers(sent), method=method, uri=url, now=now, access_token=token
        )
        claims = await self._verifier.verify(token, key_thumbprint=proof.thumbprint)
        if self._replays is not None and not self._replays.is_first(proof, now=now):
            raise InvalidDpopProof("this DPoP proof was used before: make one for each request")
        return claims


def _as_bytes(header: Header) -> tuple[bytes, bytes]:
    name, value = (
        part.encode("latin-1", "replace") if isinstance(part, str) else part for part in header
    )
    return name.lower(), value


def _credential(headers: list[tuple[bytes, bytes]]) -> tuple[str, str]:
    """(scheme in small letters, token) of the one ``Authorization`` header."""
    found = [value for name, value in headers if name == b"authorization"]
    if len(found) != 1:
        raise MalformedToken("The request must have one Authorization header")
    scheme, _, token = found[0].decode("latin-1").partition(" ")
    if scheme.lower() not in ("bearer", "dpop"):
        raise MalformedToken("The Authorization scheme must be Bearer or DPoP")
    return scheme.lower(), token.strip(" ")
