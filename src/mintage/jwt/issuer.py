"""The issuer: makes tokens, and verifies its own. It reads the clock.

Names, arguments, claims and keys are those of ``fastmcp.server.auth.jwt_issuer``, and so are the
tokens: each of the two verifies what the other issued. This one is stricter about what it reads.
"""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from secrets import token_urlsafe
from typing import Any, Final

from msgspec import structs

from mintage.crypto.derivation import derive_jwt_key
from mintage.jwt import claims as claims_
from mintage.jwt.claims import Claims, Confirmation
from mintage.jwt.hs256_fast_path import SigningPrefix, reader
from mintage.jwt.jws import open_token
from mintage.jwt.keyring import KeyRing, TokenKey
from mintage.jwt.signing import ClaimsSigner
from mintage.values import Clock, check_scopes

__all__ = [
    "Claims",
    "JWTIssuer",
    "KeyRing",
    "TokenKey",
    "derive_jwt_key",
    "derive_jwt_key_async",
]

REFRESH_SECONDS: Final = 30 * 86400
_JTI_BYTES: Final = 16


class JWTIssuer:
    """Issues and verifies the tokens of one issuer for one audience (RFC 7519).

    Args:
        issuer: The ``iss`` of every token: a non-empty string, usually the server's URL.
        audience: The ``aud`` of every token: the one resource that the tokens are for.
        signing_key: A `KeyRing`, or one HS256 key of at least 32 bytes. The bytes are used as
            they are; `derive_jwt_key` makes such a key.
        leeway: Seconds after its ``exp`` for which a token is still accepted, 0 to 300.
        ahead: Seconds that ``iat`` and ``nbf`` may be in the future. None: as *leeway*.
        clock: Called for the time, in seconds since the epoch. Tests pass their own.

    Raises:
        TypeError: *signing_key* is text.
        ValueError: An argument is empty, out of range, or a key that is too short.
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
        self._signer = ClaimsSigner(issuer, audience, ring)
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

    @property
    def _signing_key(self) -> bytes | KeyRing:
        """The key as it was given, under the name that FastMCP's class uses."""
        return self._given_key()

    def __repr__(self) -> str:
        return f"JWTIssuer(issuer={self.issuer!r}, audience={self.audience!r})"

    def issue_access_token(
        self,
        client_id: str,
        scopes: Sequence[str],
        jti: str | None = None,
        expires_in: int = 3600,
        upstream_claims: dict[str, Any] | None = None,
        subject: str | None = None,
        extra_claims: dict[str, Any] | None = None,
        *,
        issued_at: int | None = None,
        key_thumbprint: str | None = None,
    ) -> str:
        """A signed access token (RFC 7519; RFC 9068 under an asymmetric key).

        Args:
            client_id: The client that gets the token: a non-empty string.
            scopes: The scopes that it allows, each a scope-token (RFC 6749 §3.3).
            jti: The token's unique id (RFC 7519 §4.1.7): a non-empty string. None: 128 random bits.
            expires_in: Seconds from *issued_at* to the token's end. With zero or less the token
                has already ended: tests issue such tokens.
            upstream_claims: JSON for the claim ``upstream_claims``; None or empty: no such claim.
            subject: The user, the claim ``sub``. Required under an asymmetric key (RFC 9068 §2.2).
            extra_claims: More claims, as JSON. It may not hold a claim that has its own argument.
            issued_at: Seconds since the epoch. None: now.
            key_thumbprint: The RFC 7638 thumbprint of the key that the token is bound to, for the
                claim ``cnf`` (RFC 9449 §6.1). None: the token is not bound. `verify_token` returns
                the claim; it is up to the caller to ask for a proof.

        Returns:
            The token as a compact JWS of at most 16 KiB. `verify_token` accepts it.

        Raises:
            ValueError: `verify_token` could not accept such a token, so none is issued.
        """
        if subject is None and self._signer.needs_subject:
            raise ValueError("an access token under a public key has a subject (RFC 9068 §2.2)")
        iat = int(self._clock()) if issued_at is None else issued_at
        exp, scope = _end(iat, expires_in), scope_claim(scopes)
        jti = token_urlsafe(_JTI_BYTES) if jti is None else jti
        claims = Claims(
            self.issuer, self.audience, client_id, scope, exp, iat, jti, "access", subject
        )
        if key_thumbprint is not None:
            claims = structs.replace(claims, cnf=Confirmation(key_thumbprint))
        return self._sign(claims, upstream_claims, extra_claims)

    def issue_refresh_token(
        self,
        client_id: str,
        scopes: Sequence[str],
        jti: str | None = None,
        expires_in: int = REFRESH_SECONDS,
        upstream_claims: dict[str, Any] | None = None,
        *,
        issued_at: int | None = None,
    ) -> str:
        """A signed refresh token. `verify_token` accepts it only where a refresh token is expected.

        Args:
            client_id: The client that gets the token: a non-empty string.
            scopes: The scopes of the login, each a scope-token (RFC 6749 §3.3).
            jti: The token's unique id (RFC 7519 §4.1.7): a non-empty string. None: 128 random bits.
            expires_in: Seconds from *issued_at* to the token's end. 30 days, unless you say.
            upstream_claims: JSON for the claim ``upstream_claims``; None or empty: no such claim.
            issued_at: Seconds since the epoch. None: now.

        Returns:
            The token as a compact JWS of at most 16 KiB.

        Raises:
            ValueError: `verify_token` could not accept such a token, so none is issued.
        """
        iat = int(self._clock()) if issued_at is None else issued_at
        exp, scope = _end(iat, expires_in), scope_claim(scopes)
        jti = token_urlsafe(_JTI_BYTES) if jti is None else jti
        claims = Claims(self.issuer, self.audience, client_id, scope, exp, iat, jti, "refresh")
        return self._sign(claims, upstream_claims, None)

    def verify_token(self, token: str, expected_token_use: str = "access") -> dict[str, Any]:  # noqa: S107
        """Verify a token of this issuer, and return all of its claims (RFC 7519 §7.2).

        Args:
            token: The compact JWS. Any string is safe to pass.
            expected_token_use: ``access`` or ``refresh``. The token must be of this kind.

        Returns:
            The claims by name, extra ones included.

        Raises:
            TokenError: The token is refused. Its subclass says why. It is a ``JoseError`` of
                joserfc, and no other error leaves this method.
        """
        claims = self._read(token, expected_token_use)
        if claims is not None:
            return claims_.as_dict(claims)
        claims, everything = self._read_slow_path(token, expected_token_use)
        return claims_.as_dict(claims) if everything is None else everything

    def verify(self, token: str, expected_token_use: str = "access") -> Claims:  # noqa: S107
        """Verify a token of this issuer, and return its claims as a typed value.

        Args:
            token: The compact JWS. Any string is safe to pass.
            expected_token_use: ``access`` or ``refresh``. The token must be of this kind.

        Returns:
            The registered claims. `verify_token` returns the extra ones too.

        Raises:
            TokenError: The token is refused. Its subclass says why.
        """
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
        upstream: dict[str, Any] | None,
        extra: dict[str, Any] | None,
    ) -> str:
        claims_.check_names(claims)
        return self._signer.sign(claims, upstream, extra)


async def derive_jwt_key_async(
    *,
    high_entropy_material: str | None = None,
    low_entropy_material: str | None = None,
    salt: str,
) -> bytes:
    """`derive_jwt_key` in a thread: the event loop runs on while PBKDF2 (RFC 8018) computes.

    Args:
        high_entropy_material: As in `derive_jwt_key`.
        low_entropy_material: As in `derive_jwt_key`.
        salt: As in `derive_jwt_key`.

    Returns:
        The key: 44 bytes.

    Raises:
        ValueError: As in `derive_jwt_key`.
    """
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


def _end(iat: int, expires_in: int) -> int:
    """``exp``. Raises ``ValueError`` for ``bool`` and ``float``, which Python could add, too."""
    if type(expires_in) is not int:
        raise ValueError("expires_in is the token's lifetime in whole seconds")
    if type(iat) is not int or not all(abs(t) <= claims_.MAX_TIME for t in (iat, iat + expires_in)):
        raise ValueError("issued_at and expires_in give no time in whole seconds")
    return iat + expires_in
