"""The issuer: makes tokens, and verifies the ones it made. The clock comes in here.

Names, arguments, claims and keys are those of ``fastmcp.server.auth.jwt_issuer``, and so are
the tokens: each side verifies what the other issued. This side is stricter about what it reads.
"""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from mintage.crypto.derivation import derive_jwt_key
from mintage.jwt import claims as claims_
from mintage.jwt.algorithms import Signer
from mintage.jwt.claims import Claims
from mintage.jwt.hs256_fast_path import SigningPrefix, reader
from mintage.jwt.jws import MAX_TOKEN, open_token, sign
from mintage.jwt.keyring import KeyRing, TokenKey
from mintage.values import Clock, check_scopes

__all__ = [
    "Claims",
    "JWTIssuer",
    "KeyRing",
    "TokenKey",
    "derive_jwt_key",
    "derive_jwt_key_async",
]


class JWTIssuer:
    """Issues and verifies the tokens of one issuer for one audience.

    *signing_key* is a `KeyRing`, or one HS256 key of at least 32 bytes, used as it is (see
    `derive_jwt_key`). *leeway* is how many seconds the clocks of two servers may differ.
    *ahead* is how many seconds in the future a token may have been issued; None: *leeway*.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        signing_key: bytes | KeyRing,
        *,
        leeway: float = 0,
        ahead: float | None = None,
        clock: Clock = time.time,
    ) -> None:
        self.issuer, self.audience = issuer, audience
        # A function, so that nothing that prints this object prints the key.
        self._given_key: Callable[[], bytes | KeyRing] = lambda: signing_key
        self._leeway = claims_.check_leeway(leeway)
        self._ahead = leeway if ahead is None else ahead
        self._clock = clock
        ring = signing_key if isinstance(signing_key, KeyRing) else KeyRing.of_one(signing_key)
        self._pins = ring.pins()
        self._access, self._refresh = (ring.signing(refresh=refresh) for refresh in (False, True))
        opening = claims_.opening(issuer, audience)
        prefixes = [
            SigningPrefix(header=header, opening=opening, key=key)
            for header, key in ring.symmetric()
        ]
        self._read = reader(
            {prefix.text: prefix for prefix in prefixes},
            issuer=issuer,
            audience=audience,
            leeway=leeway,
            ahead=self._ahead,
            clock=clock,
        )
        self._stem = prefixes[0] if ring.active.alg == "HS256" else None

    @property
    def _signing_key(self) -> bytes | KeyRing:
        """The key as it was given, under the name that FastMCP's class has for it."""
        return self._given_key()

    def __repr__(self) -> str:
        return f"JWTIssuer(issuer={self.issuer!r}, audience={self.audience!r})"

    def issue_access_token(
        self,
        client_id: str,
        scopes: Sequence[str],
        jti: str,
        expires_in: int = 3600,
        upstream_claims: dict[str, Any] | None = None,
        subject: str | None = None,
        extra_claims: dict[str, Any] | None = None,
        *,
        issued_at: int | None = None,
    ) -> str:
        """A signed access token that ends *expires_in* seconds after *issued_at* (now).

        With an *expires_in* of zero or less the token has already ended: tests issue such tokens.
        Raises ``ValueError`` where the token could not be verified: among others a claim in
        *extra_claims* that has its own argument, and a token over 16 KiB. Under an asymmetric
        key *subject* must be given (RFC 9068 §2.2).
        """
        if subject is None and self._stem is None:
            raise ValueError("an access token under a public key has a subject (RFC 9068 §2.2)")
        iat = int(self._clock()) if issued_at is None else issued_at
        exp, scope = _end(iat, expires_in), scope_claim(scopes)
        claims = Claims(
            self.issuer, self.audience, client_id, scope, exp, iat, jti, "access", subject
        )
        return self._sign(claims, self._access, upstream_claims, extra_claims)

    def issue_refresh_token(
        self,
        client_id: str,
        scopes: Sequence[str],
        jti: str,
        expires_in: int,
        upstream_claims: dict[str, Any] | None = None,
        *,
        issued_at: int | None = None,
    ) -> str:
        """A signed refresh token: as `issue_access_token`, and good for nothing but refreshing."""
        iat = int(self._clock()) if issued_at is None else issued_at
        exp, scope = _end(iat, expires_in), scope_claim(scopes)
        claims = Claims(self.issuer, self.audience, client_id, scope, exp, iat, jti, "refresh")
        return self._sign(claims, self._refresh, upstream_claims, None)

    def verify_token(self, token: str, expected_token_use: str = "access") -> dict[str, Any]:  # noqa: S107
        """All claims of a good token. Raises `TokenError`, which is a `JoseError`, and no other."""
        claims = self._read(token, expected_token_use)
        if claims is not None:
            return claims_.as_dict(claims)
        claims, everything = self._read_slow_path(token, expected_token_use)
        return claims_.as_dict(claims) if everything is None else everything

    def verify(self, token: str, expected_token_use: str = "access") -> Claims:  # noqa: S107
        """The claims of a good token as a typed value. Raises as `verify_token` does."""
        claims = self._read(token, expected_token_use)
        return self._read_slow_path(token, expected_token_use)[0] if claims is None else claims

    def _read_slow_path(
        self, token: object, token_use: str
    ) -> tuple[Claims, dict[str, Any] | None]:
        parsed = claims_.parse(open_token(token, self._pins))
        claims_.check(
            parsed[0],
            self.issuer,
            self.audience,
            token_use,
            self._clock(),
            self._leeway,
            self._ahead,
        )
        return parsed

    def _sign(
        self,
        claims: Claims,
        signing: tuple[bytes, Signer],
        upstream: dict[str, Any] | None,
        extra: dict[str, Any] | None,
    ) -> str:
        claims_.check_names(claims)
        plain = not upstream and not extra
        if plain and self._stem is not None:
            token = self._stem.sign(claims_.encode(claims))
        else:
            header, signer = signing
            payload = (
                claims_.encode(claims)
                if plain
                else claims_.encode_slow_path(_merge(claims, upstream or {}, extra or {}))
            )
            token = sign(payload, header=header, signer=signer)
        if len(token) > MAX_TOKEN:
            raise ValueError(f"the token would be over {MAX_TOKEN} characters")
        return token


async def derive_jwt_key_async(
    *,
    high_entropy_material: str | None = None,
    low_entropy_material: str | None = None,
    salt: str,
) -> bytes:
    """`derive_jwt_key` in a thread: a million rounds of PBKDF2 would hold up the event loop."""
    import asyncio

    derive: Callable[..., bytes] = derive_jwt_key
    return await asyncio.to_thread(
        derive,
        high_entropy_material=high_entropy_material,
        low_entropy_material=low_entropy_material,
        salt=salt,
    )


def scope_claim(scopes: Sequence[str]) -> str:
    """The ``scope`` claim of *scopes*. Raises ``ValueError`` unless each is a scope-token."""
    if isinstance(scopes, str):
        raise ValueError("scopes are a list of strings, not one string")  # noqa: TRY004
    try:
        return _joined(tuple(scopes))
    except TypeError:
        raise ValueError("scopes are a list of strings") from None


@lru_cache(maxsize=1024)
def _joined(scopes: tuple[str, ...]) -> str:
    check_scopes(scopes)
    return " ".join(scopes)


def _merge(claims: Claims, upstream: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """All claims in the order they are written."""
    if not (isinstance(extra, dict) and isinstance(upstream, dict)):
        raise ValueError("claims are given as a dict")  # noqa: TRY004
    if taken := claims_.RESERVED.intersection(extra):
        raise ValueError(f"extra_claims may not set {', '.join(sorted(taken))}")
    merged = claims_.as_dict(claims) | extra
    return merged | {"upstream_claims": upstream} if upstream else merged


def _end(iat: int, expires_in: int) -> int:
    """``exp``. ``bool`` and ``float`` are not lifetimes, although Python can add them."""
    if type(expires_in) is not int:
        raise ValueError("expires_in is the token's lifetime in whole seconds")
    if type(iat) is not int or not all(abs(t) <= claims_.MAX_TIME for t in (iat, iat + expires_in)):
        raise ValueError("issued_at and expires_in give no time in whole seconds")
    return iat + expires_in
