"""Verifies an assertion of a trusted issuer (RFC 7523 §3, RFC 8725). Pure: time is an argument.

Its header selects the keys to try, before any signature is computed. Only algorithms that are
allowed for the issuer count, and only keys of that issuer. Nothing is said about an assertion that
does not verify; what is wrong with one that does, its sender may read.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from joserfc.errors import JoseError, SecurityWarning

from mintage.crypto.base64url import decode_segment
from mintage.errors import InvalidGrant, MalformedToken
from mintage.partly_shown import PartlyShown
from mintage.trust.issuer import Purpose, TrustedIssuer

if TYPE_CHECKING:
    from joserfc import jwk

LEEWAY: Final = 30  # seconds that the issuer's clock may differ
MAX_LENGTH: Final = 16 * 1024
MAX_TRIED: Final = 4  # keys, for one assertion
_MAX_JTI: Final = 256
_MAX_SUBJECT: Final = 1024
_SEGMENTS: Final = 3
_MAX_NUMBER: Final = 2**53
_TYPES: Final[dict[Purpose, frozenset[str | None]]] = {
    "id_jag": frozenset({"oauth-id-jag+jwt"}),
    # Platforms write none, or one of these (JWT-SVID §2.3): what has a meaning of its own is none.
    "workload": frozenset({None, "jwt", "jose"}),
}
_KINDS: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVES: Final = {
    "ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519", "Ed25519": "Ed25519",
}  # fmt: skip
_T = TypeVar("_T")


class BadAssertion(InvalidGrant):
    """The assertion is not valid: ``invalid_grant`` (RFC 7521 §4.1.1)."""


class UnknownSigner(BadAssertion):
    """No key of the set verifies it. A newer set may have one that does."""


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None
    typ: str | None = None
    crit: msgspec.Raw | None = None


class _Payload(msgspec.Struct, frozen=True):
    iss: str


_headers: msgspec.json.Decoder[_Header] = msgspec.json.Decoder(_Header)
_payloads: msgspec.json.Decoder[_Payload] = msgspec.json.Decoder(_Payload)


class Assertion(PartlyShown, frozen=True, kw_only=True):
    """A verified assertion. *jti*: None if it has none. *expires_at*, *issued_at*: in seconds.

    Its ``jti`` must not be accepted again before *forget_at*.
    """

    not_shown = ("claims",)

    claims: dict[str, Any]
    subject: str
    jti: str | None
    issued_at: int
    expires_at: int

    @property
    def forget_at(self) -> int:
        return self.expires_at + LEEWAY + 1


def claimed_issuer(assertion: str) -> str:
    """The issuer that *assertion* claims. Nothing has verified it yet."""
    return _read(assertion, 1, _payloads, "a JWT with an iss").iss


def verify(assertion: str, keys: "jwk.KeySet", issuer: TrustedIssuer, *, now: float) -> Assertion:
    """The valid *assertion* of *issuer*. Raises `BadAssertion`, and `UnknownSigner`."""
    claims = _signed(assertion, keys.keys, issuer)
    if claims.get("iss") != issuer.issuer:
        raise BadAssertion("the assertion is of another issuer")
    _check_audience(claims.get("aud"), issuer)
    issued_at, expires_at = _check_times(claims, issuer, now)
    return Assertion(
        claims=claims,
        subject=_text(claims, "sub", _MAX_SUBJECT),
        jti=_text(claims, "jti", _MAX_JTI) if issuer.single_use or "jti" in claims else None,
        issued_at=issued_at,
        expires_at=expires_at,
    )


def _read(assertion: str, number: int, decoder: msgspec.json.Decoder[_T], what: str) -> _T:
    """Segment *number* of an *assertion* that nothing has verified yet."""
    segments = assertion.split(".") if len(assertion) <= MAX_LENGTH else []
    if len(segments) != _SEGMENTS:
        raise BadAssertion(f"assertion must be a signed JWT of at most {MAX_LENGTH} bytes")
    try:
        return decoder.decode(decode_segment(segments[number].encode("ascii")))
    except (MalformedToken, msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise BadAssertion(f"assertion must be {what}") from None


def _signed(assertion: str, keys: Sequence["jwk.Key"], issuer: TrustedIssuer) -> dict[str, Any]:
    """The claims of *assertion*, verified with the first of *keys* that fits."""
    from joserfc import jwt  # late: see `mintage.jwt.jwk_sets`
    from joserfc.jws import JWSRegistry

    header = _read(assertion, 0, _headers, "a JWT with alg, kid and typ as strings")
    if header.alg not in issuer.algorithms:
        raise BadAssertion(
            "the assertion must be signed by one of: " + ", ".join(issuer.algorithms)
        )
    if header.crit is not None:
        raise BadAssertion("the assertion has critical header members, which nobody reads here")
    _check_type(header.typ, issuer.purpose)
    registry = JWSRegistry(algorithms=[header.alg], strict_check_header=False)
    registry.max_header_length = MAX_LENGTH  # with members and certificates that nobody reads here
    for key in _candidates(keys, header.alg, header.kid):
        try:
            with warnings.catch_warnings():
                # joserfc warns of the old name EdDSA, which is the issuer's to give up.
                warnings.simplefilter("ignore", SecurityWarning)
                return dict(jwt.decode(assertion, key, registry=registry).claims)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    raise UnknownSigner("the assertion is not signed with a key of its issuer")


def _check_type(typ: str | None, purpose: Purpose) -> None:
    """RFC 8725 §3.11: no other kind of JWT of the same issuer is an assertion."""
    short = typ if typ is None else typ.lower().removeprefix("application/")
    if short not in _TYPES[purpose]:
        raise BadAssertion(f"a JWT of the typ {str(typ)[:40]!r} is no assertion of this kind")


def _candidates(keys: Sequence["jwk.Key"], algorithm: str, kid: str | None) -> "list[jwk.Key]":
    """Those of *keys* that may have made a signature with these header values; few at most.

    A key that names its algorithm is used with no other (RFC 8725 §3.1). Without a ``kid`` in the
    header each key of the kind may be the one, and so may one that has no name itself.
    """
    kind, curve = _KINDS[algorithm[:2]], _CURVES.get(algorithm)
    fitting = []
    for key in keys:
        said = key.as_dict(private=False)
        of_kind = key.key_type == kind and (curve is None or said.get("crv") == curve)
        named = kid is None or key.kid is None or key.kid == kid
        if of_kind and named and said.get("alg", algorithm) == algorithm:
            fitting.append(key)
    return fitting[:MAX_TRIED]


def _check_audience(audience: object, issuer: TrustedIssuer) -> None:
    """One audience, which is this server: another one could send the assertion here."""
    said = audience if isinstance(audience, list) else [audience]
    if len(said) != 1 or said[0] not in issuer.audiences:
        raise BadAssertion("the assertion must have one aud: " + " or ".join(issuer.audiences))


def _check_times(claims: dict[str, Any], issuer: TrustedIssuer, now: float) -> tuple[int, int]:
    """(when it was issued, when it ends), both checked."""
    expires_at, issued_at = _time(claims, "exp"), _time(claims, "iat")
    if now >= expires_at + LEEWAY:
        raise BadAssertion("the assertion has expired; get a new one")
    if expires_at - issued_at > issuer.max_seconds:
        raise BadAssertion(f"the assertion may live for at most {issuer.max_seconds} seconds")
    begins = _time(claims, "nbf") if "nbf" in claims else issued_at
    if max(begins, issued_at) > now + LEEWAY:
        raise BadAssertion("the assertion is from the future; compare the clocks")
    return issued_at, expires_at


def _time(claims: dict[str, Any], name: str) -> int:
    """A NumericDate in whole seconds (RFC 7519 §2). NaN is refused: it compares with nothing."""
    value = claims.get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= _MAX_NUMBER:  # type: ignore[operator]
        raise BadAssertion(f"the assertion must have {name} as a number of seconds")
    return int(value)  # type: ignore[arg-type]


def _text(claims: dict[str, Any], name: str, most: int) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
        raise BadAssertion(f"the assertion must have a {name} of 1 to {most} characters")
    return value
