"""Verifies an id_token (OpenID Connect Core §3.1.3.7). Pure: the time is an argument.

joserfc verifies the signature. This module chooses keys and algorithms, and checks the claims.
"""

import hashlib
import hmac
import re
import warnings
from contextlib import nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from joserfc.errors import JoseError, SecurityWarning

from mintage.crypto.base64url import decode_lenient, encode_text
from mintage.errors import BadKeySet, UpstreamMisbehaved, UpstreamMisconfigured
from mintage.jwt.jwk_sets import read_key_set
from mintage.upstream.identity import MAX_SUBJECT, is_text

if TYPE_CHECKING:
    from joserfc import jwk, jwt
    from joserfc.jws import JWSRegistry

# Asymmetric only: with HS256, anyone with the client secret could forge any user, and
# a public key could be passed off as the secret.
ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
    "EdDSA", "Ed25519",
)  # fmt: skip
LEEWAY: Final = 60  # seconds that the provider's clock may differ
_TENANT: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_NUMBER: Final = 2**53
_MAX_HEADER: Final = 16 * 1024  # providers put certificates there, which Mintage does not read
_DOTS_OF_A_JWE: Final = 4
_NOTHING: Final[tuple[object, ...]] = (None, "", [])
"""What a claim that says nothing may hold: as if it were not there."""


_not_warned: Final = partial(warnings.catch_warnings, action="ignore", category=SecurityWarning)


class UnknownKid(UpstreamMisbehaved):
    """No key of the set verifies this token. A newer set may have one that does."""


def read_keys(body: dict[str, Any]) -> "jwk.KeySet":
    """The signing keys of a JWKS, without those that joserfc can't read (RFC 7517 §5)."""
    try:
        return read_key_set(body)
    except BadKeySet as error:
        raise UpstreamMisbehaved(str(error)) from None


def verify(
    token: object, keys: "jwk.KeySet", *, issuer: str, client_id: str, nonce: str | None,
    access_token: str, now: int, aliases: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """The claims of a valid id_token. Raises `UpstreamMisbehaved`.

    *issuer* may contain ``{tenantid}``, which is replaced by the token's own ``tid``. *aliases* are
    other spellings of it; in the result ``iss`` is *issuer*.
    """
    header, claims = signed(token, keys, "the id_token")
    claims = {name: value for name, value in claims.items() if value not in _NOTHING}
    check_issuer(claims, header, keys, issuer=issuer, aliases=aliases)
    check_audience(claims, client_id)
    check_times(claims, now)
    if nonce is not None and not _same(claims.get("nonce"), nonce):
        raise UpstreamMisbehaved("the id_token has another nonce")
    subject = claims.get("sub")
    if not is_text(subject) or not 0 < len(subject) <= MAX_SUBJECT:
        raise UpstreamMisbehaved("the id_token has no usable sub")
    _check_at_hash(claims, access_token, header["alg"])
    return claims


def verify_userinfo(
    token: str, keys: "jwk.KeySet", *, issuer: str, client_id: str, now: int,
    aliases: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """The claims of a signed userinfo answer (OpenID Connect Core §5.3.2).

    It is verified like an id_token; ``iss``, ``aud`` and ``exp`` are checked if they are there.
    """
    if token.count(".") == _DOTS_OF_A_JWE:
        raise UpstreamMisconfigured(
            "userinfo is encrypted, which Mintage can't read: turn encryption off at the provider "
            "(userinfo_encrypted_response_alg), or set userinfo = false in [upstream]"
        )
    _, claims = signed(token, keys, "userinfo")
    claims = {name: value for name, value in claims.items() if value not in _NOTHING}
    if "iss" in claims and not _is_from(claims["iss"], issuer, aliases):
        raise UpstreamMisbehaved("userinfo is of another issuer")
    audience = claims.get("aud", client_id)
    if client_id not in (audience if isinstance(audience, list) else [audience]):
        raise UpstreamMisbehaved("userinfo is for another client")
    if now >= time_of(claims.get("exp", now + 1)) + LEEWAY:
        raise UpstreamMisbehaved("userinfo has expired")
    return claims


def _is_from(iss: object, issuer: str, aliases: tuple[str, ...]) -> bool:
    return isinstance(iss, str) and is_issuer(iss, issuer, aliases)


def is_issuer(iss: str, issuer: str, aliases: tuple[str, ...]) -> bool:
    """Whether *iss*, from a callback, is the provider. The id_token says which tenant it is."""
    before, _, after = issuer.partition("{tenantid}")
    if "{tenantid}" in issuer:
        tenant = iss.removeprefix(before).removesuffix(after)
        return iss == before + tenant + after and bool(_TENANT.fullmatch(tenant))
    return iss in (issuer, *aliases)


def check_login_time(claims: dict[str, Any], max_age: int, *, now: int) -> None:
    """Refuse a login that is older than requested (§3.1.2.1: ``auth_time`` must be there)."""
    if now - time_of(claims.get("auth_time")) > max_age + LEEWAY:
        raise UpstreamMisbehaved("the user logged in longer ago than max_age allows")


def _issuer_of_tenant(
    template: str, claims: dict[str, Any], header: dict[str, Any], keys: "jwk.KeySet"
) -> str:
    """The issuer of the tenant that the token names.

    A key may be bound to an issuer. Otherwise one tenant's key could sign for another.
    """
    tenant = claims.get("tid")
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise UpstreamMisbehaved("the token names no tenant")
    issuer = template.replace("{tenantid}", tenant)
    for key in keys.keys:
        if key.kid is not None and key.kid == header.get("kid"):
            bound = key.as_dict(private=False).get("issuer", template)
            if str(bound).replace("{tenantid}", tenant) != issuer:
                raise UpstreamMisbehaved("the token's key is not its tenant's")
    return issuer


def signed(token: object, keys: "jwk.KeySet", what: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(header, claims) of *token*, verified with one of *keys*. *what* names it in the log."""
    if not isinstance(token, str) or token.count(".") != 2:  # noqa: PLR2004
        raise UpstreamMisbehaved(f"{what} is not there, or not signed")
    try:
        decoded = _decoded(token, keys)
        return dict(decoded.header), dict(decoded.claims)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnknownKid(f"{what} does not verify ({type(error).__name__})") from None


def _decoded(token: str, keys: "jwk.KeySet") -> "jwt.Token":
    from joserfc import jwt  # late: see `mintage.jwt.jwk_sets`

    header = msgspec.json.decode(decode_lenient(token.partition(".")[0]))
    # joserfc warns of the old name EdDSA, which is the provider's to give up.
    with _not_warned() if header.get("alg") == "EdDSA" else nullcontext():
        return jwt.decode(token, _the_key(header, keys), registry=_registry())


@cache
def _registry() -> "JWSRegistry":
    from joserfc.jws import JWSRegistry

    registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
    registry.max_header_length = _MAX_HEADER
    return registry


def _the_key(header: dict[str, Any], keys: "jwk.KeySet") -> "jwk.Key | jwk.KeySet":
    """The one key of the token's kind, if ``kid`` names none of *keys*; else all of them.

    Some providers publish keys without ``kid``, or sign with another ``kid`` than they publish. The
    signature decides, not the name.
    """
    kid, algorithm = header.get("kid"), str(header.get("alg"))
    if kid is not None and any(key.kid == kid for key in keys.keys):
        return keys
    kind = "RSA" if algorithm[:2] in ("RS", "PS") else "EC" if algorithm[:2] == "ES" else "OKP"
    fitting = [key for key in keys.keys if key.key_type == kind and _may_sign(key, algorithm)]
    return fitting[0] if len(fitting) == 1 else keys


def _may_sign(key: "jwk.Key", algorithm: str) -> bool:
    said = key.as_dict(private=False)
    return said.get("use", "sig") == "sig" and said.get("alg", algorithm) == algorithm


def check_issuer(
    claims: dict[str, Any], header: dict[str, Any], keys: "jwk.KeySet", *,
    issuer: str, aliases: tuple[str, ...],
) -> None:  # fmt: skip
    """Refuse a token of another issuer. An alias in *claims* becomes *issuer* (see `verify`)."""
    if claims.get("iss") in aliases:
        claims["iss"] = issuer
    if "{tenantid}" in issuer:
        issuer = _issuer_of_tenant(issuer, claims, header, keys)
    if claims.get("iss") != issuer:
        raise UpstreamMisbehaved("the token is of another issuer")


def check_audience(claims: dict[str, Any], client_id: str) -> None:
    """Refuse a token for another client."""
    audience = claims.get("aud")
    several = audience if isinstance(audience, list) else [audience]
    if client_id not in several:
        raise UpstreamMisbehaved("the token is for another client")
    if (len(several) > 1 or "azp" in claims) and claims.get("azp") != client_id:
        raise UpstreamMisbehaved("the token was issued to another client")


def check_times(claims: dict[str, Any], now: int) -> None:
    """Refuse a token that has expired, or is from the future."""
    if now >= time_of(claims.get("exp")) + LEEWAY:
        raise UpstreamMisbehaved("the token has expired")
    if max(time_of(claims.get("iat", 0)), time_of(claims.get("nbf", 0))) > now + LEEWAY:
        raise UpstreamMisbehaved("the token is from the future; compare the clocks")


def time_of(value: object) -> int:
    """A NumericDate in whole seconds (RFC 7519 §2)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UpstreamMisbehaved("the token's times are not numbers")
    if not -_MAX_NUMBER <= value <= _MAX_NUMBER:  # no NaN either: it compares with nothing
        raise UpstreamMisbehaved("the token's times are no times")
    return int(value)


def _same(given: object, expected: str) -> bool:
    return isinstance(given, str) and given.isascii() and hmac.compare_digest(given, expected)


def _check_at_hash(claims: dict[str, Any], access_token: str, algorithm: str) -> None:
    """Refuse an access token that was not issued with the id_token (§3.1.3.6)."""
    if "at_hash" not in claims:
        return
    digest = hashlib.new(_HASHES[algorithm], access_token.encode()).digest()
    if not _same(claims["at_hash"], encode_text(digest[: len(digest) // 2])):
        raise UpstreamMisbehaved("the access token is not the id_token's")


_HASHES: Final = {
    name: "sha256" if name.endswith("256") else "sha384" if name.endswith("384") else "sha512"
    for name in ALGORITHMS
}
