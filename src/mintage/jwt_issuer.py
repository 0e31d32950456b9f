"""The issuer: makes tokens, and verifies the ones it made. The clock comes in here.

Names, arguments, claims and keys are those of ``fastmcp.server.auth.jwt_issuer``, and so are
the tokens: each side verifies what the other issued. This side is stricter about what it reads.
"""

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from mintage import claims as claims_
from mintage.claims import Claims
from mintage.errors import WrongAudience, WrongIssuer, WrongTokenUse
from mintage.jws import HEADER, HEADER_ALG_FIRST, MAX_TOKEN, HmacKey, Key, open_token, sign
from mintage.keys import check_signing_key, derive_jwt_key
from mintage.values import Clock, check_scopes

__all__ = ["Claims", "JWTIssuer", "derive_jwt_key"]

MAX_LEEWAY: Final = 300  # seconds


class JWTIssuer:
    """Issues and verifies the tokens of one issuer for one audience, signed with HS256.

    *signing_key* is used as it is: at least 32 bytes (see `derive_jwt_key`). *leeway* is how
    many seconds the clocks of two servers may differ.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        signing_key: bytes,
        *,
        leeway: float = 0,
        clock: Clock = time.time,
    ) -> None:
        check_signing_key(signing_key)
        if not 0 <= leeway <= MAX_LEEWAY:
            raise ValueError(f"leeway is between 0 and {MAX_LEEWAY} seconds")
        self.issuer = _name(issuer, "issuer")
        self.audience = _name(audience, "audience")
        self._leeway = leeway
        self._clock = clock
        self._key: Key = HmacKey(signing_key)
        self._keys = {HEADER.decode(): self._key, HEADER_ALG_FIRST.decode(): self._key}

    def __repr__(self) -> str:
        return f"JWTIssuer(issuer={self.issuer!r}, audience={self.audience!r})"

    def issue_access_token(  # noqa: PLR0917 - the seed's signature
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

        Raises ``ValueError`` where the token could not be verified: among others a claim in
        *extra_claims* that has its own argument, and a token over 16 KiB.
        """
        iat = self._now() if issued_at is None else _whole(issued_at, "issued_at")
        claims = Claims(
            self.issuer,
            self.audience,
            _name(client_id, "client_id"),
            scope_claim(scopes),
            _end(iat, expires_in),
            iat,
            _name(jti, "jti"),
            sub=None if subject is None else _name(subject, "subject"),
        )
        return self._sign(claims, upstream_claims, extra_claims)

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
        iat = self._now() if issued_at is None else _whole(issued_at, "issued_at")
        claims = Claims(
            self.issuer,
            self.audience,
            _name(client_id, "client_id"),
            scope_claim(scopes),
            _end(iat, expires_in),
            iat,
            _name(jti, "jti"),
            token_use="refresh",  # noqa: S106
        )
        return self._sign(claims, upstream_claims, None)

    def verify_token(self, token: str, expected_token_use: str = "access") -> dict[str, Any]:  # noqa: S107
        """All claims of a good token. Raises `TokenError`, which is a `JoseError`, and no other."""
        claims = claims_.parse_dict(open_token(token, self._keys))
        if claims.get("token_use", "access") != expected_token_use:
            raise WrongTokenUse
        self._check(claims["iss"], claims["aud"], claims["exp"], claims["iat"], claims.get("nbf"))
        return claims

    def verify(self, token: str, expected_token_use: str = "access") -> Claims:  # noqa: S107
        """The claims of a good token as a typed value. Raises as `verify_token` does."""
        claims = claims_.parse(open_token(token, self._keys))
        if claims.token_use != expected_token_use:
            raise WrongTokenUse
        self._check(claims.iss, claims.aud, claims.exp, claims.iat, claims.nbf)
        return claims

    def _check(self, iss: str, aud: str, exp: int, iat: int, nbf: int | None) -> None:
        claims_.check_times(exp, iat, nbf, now=self._clock(), leeway=self._leeway)
        if iss != self.issuer:
            raise WrongIssuer
        if aud != self.audience:
            raise WrongAudience

    def _now(self) -> int:
        return int(self._clock())

    def _sign(
        self, claims: Claims, upstream: dict[str, Any] | None, extra: dict[str, Any] | None
    ) -> str:
        if upstream or extra:
            payload = claims_.encode_odd(_merge(claims, upstream or {}, extra or {}))
        else:
            payload = claims_.encode(claims)
        token = sign(payload, header=HEADER, key=self._key)
        if len(token) > MAX_TOKEN:
            raise ValueError(f"the token would be over {MAX_TOKEN} characters")
        return token


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


def _name(value: str, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what} is a string and not empty")
    return value


def _end(iat: int, expires_in: int) -> int:
    if _whole(expires_in, "expires_in") <= 0:
        raise ValueError("expires_in is the token's lifetime in seconds, at least 1")
    return _whole(iat + expires_in, "exp")


def _whole(value: int, what: str) -> int:
    if type(value) is not int or not -claims_.MAX_TIME <= value <= claims_.MAX_TIME:
        raise ValueError(f"{what} is a whole number of seconds")
    return value
