"""Signs claims that can be read back: its caller has checked them, or they are the server's own.

No clock, no randomness, no I/O.
"""

from typing import Any, Final

from mintage.jwt import claims as claims_
from mintage.jwt.claims import Claims
from mintage.jwt.hs256_fast_path import SigningPrefix
from mintage.jwt.jws import MAX_TOKEN, sign
from mintage.jwt.keyring import KeyRing

_REFRESH: Final = "refresh"


class ClaimsSigner:
    """Signs for one *issuer* and *audience*, under the active key of *ring*.

    *needs_subject*: whether others verify access tokens, and so each names its user (RFC 9068
    §2.2). Raises ``ValueError`` if a name is empty.
    """

    __slots__ = ("_access", "_prefix", "_refresh", "needs_subject")

    def __init__(self, issuer: str, audience: str, ring: KeyRing) -> None:
        opening = claims_.opening(issuer, audience)
        self.needs_subject = ring.active.alg != "HS256"
        self._access, self._refresh = (ring.signing(refresh=refresh) for refresh in (False, True))
        self._prefix: SigningPrefix | None = None
        if not self.needs_subject:
            header, key = ring.symmetric()[0]
            self._prefix = SigningPrefix(header=header, opening=opening, key=key)

    def sign(
        self,
        claims: Claims,
        upstream: dict[str, Any] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> str:
        """The token of *claims*, which are of this issuer and audience.

        *upstream*: for the claim ``upstream_claims``. *extra*: more claims. Raises ``ValueError``
        if these two are no claims, and for a token over 16 KiB.
        """
        if upstream or extra:
            payload = claims_.encode_slow_path(_merge(claims, upstream or {}, extra or {}))
            token = self._by_slow_path(claims, payload)
        elif self._prefix is not None:
            token = self._prefix.sign(claims_.encode(claims))
        else:
            token = self._by_slow_path(claims, claims_.encode(claims))
        if len(token) > MAX_TOKEN:
            raise ValueError(f"the token would be over {MAX_TOKEN} characters")
        return token

    def _by_slow_path(self, claims: Claims, payload: bytes) -> str:
        header, signer = self._refresh if claims.token_use == _REFRESH else self._access
        return sign(payload, header=header, signer=signer)


def _merge(claims: Claims, upstream: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """All claims, in the order of the payload."""
    if not (isinstance(extra, dict) and isinstance(upstream, dict)):
        raise ValueError("claims are given as a dict")  # noqa: TRY004
    if taken := claims_.RESERVED.intersection(extra):
        raise ValueError(f"extra_claims may not set {', '.join(sorted(taken))}")
    merged = claims_.as_dict(claims) | extra
    bound = {"cnf": merged.pop("cnf")} if "cnf" in merged else {}
    return merged | ({"upstream_claims": upstream} if upstream else {}) | bound
