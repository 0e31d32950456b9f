"""``private_key_jwt``: a client authenticates with a signed assertion (RFC 7523 §2.2, §3). Pure.

The audience must be the server's issuer and nothing else (draft-ietf-oauth-rfc7523bis §4). If an
assertion could name a token endpoint, another server could have asked for it.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from joserfc.errors import JoseError, SecurityWarning

from mintage.clients.keys import ALGORITHMS, candidates
from mintage.crypto.base64url import decode_segment
from mintage.errors import InvalidClient, MalformedToken

if TYPE_CHECKING:
    from joserfc import jwk

TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_SECONDS: Final = 600  # that an assertion may live: its jti is remembered for as long
LEEWAY: Final = 30  # seconds that the client's clock may differ
_MAX_LENGTH: Final = 8 * 1024
_MAX_JTI: Final = 256
_SEGMENTS: Final = 3
_T = TypeVar("_T")
_TYPES: Final = frozenset({None, "jwt", "client-authentication+jwt"})


class UnknownSigner(InvalidClient):
    """No key of the set verifies this assertion. A newer set may have one that does."""


class Assertion(msgspec.Struct, frozen=True):
    """A verified assertion. *jti* must not be accepted again before *expires_at* (seconds)."""

    jti: str
    expires_at: int


class _Subject(msgspec.Struct, frozen=True):
    sub: str


class _Header(msgspec.Struct, frozen=True):
    alg: str
    kid: str | None = None


_subjects: msgspec.json.Decoder[_Subject] = msgspec.json.Decoder(_Subject)
_headers: msgspec.json.Decoder[_Header] = msgspec.json.Decoder(_Header)


def claimed_client(assertion: str) -> str:
    """The client_id that *assertion* claims. Nothing has verified it yet."""
    return _read(assertion, 1, _subjects, "a JWT with a sub").sub


def _read(assertion: str, number: int, decoder: msgspec.json.Decoder[_T], what: str) -> _T:
    """Segment *number* of an *assertion* that nothing has verified yet."""
    segments = assertion.split(".") if len(assertion) <= _MAX_LENGTH else []
    if len(segments) != _SEGMENTS:
        raise InvalidClient(f"client_assertion must be a signed JWT of at most {_MAX_LENGTH} bytes")
    try:
        return decoder.decode(decode_segment(segments[number].encode("ascii")))
    except (MalformedToken, msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise InvalidClient(f"client_assertion must be {what}") from None


def verify(
    assertion: str, keys: "jwk.KeySet", *, client_id: str, issuer: str, now: float
) -> Assertion:
    """The valid assertion of *client_id* for the server *issuer*.

    Raises `InvalidClient`, and `UnknownSigner` if another key set may help.
    """
    header, claims = _signed(assertion, keys.keys)
    kind = header.get("typ")
    if (kind.lower() if isinstance(kind, str) else kind) not in _TYPES:
        raise InvalidClient(
            "client_assertion must have the typ JWT, client-authentication+jwt or none"
        )
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise InvalidClient("client_assertion must have the client_id as iss and sub")
    if claims.get("aud") not in (issuer, [issuer]):
        raise InvalidClient(f"client_assertion must have one aud: {issuer}")
    return Assertion(_jti(claims.get("jti")), _check_times(claims, now))


def _signed(assertion: str, keys: Sequence["jwk.Key"]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(header, claims) of *assertion*, verified with the first of *keys* that fits.

    The header selects the keys to try, before any signature is computed.
    """
    from joserfc import jwt  # late: see `mintage.jwt.jwk_sets`
    from joserfc.jws import JWSRegistry

    header = _read(assertion, 0, _headers, "a JWT with an alg, and kid as a string or left out")
    registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
    registry.max_header_length = _MAX_LENGTH  # with members and certificates that nobody reads here
    for key in candidates(keys, header.alg, header.kid):
        try:
            with warnings.catch_warnings():
                # joserfc warns of the old name EdDSA, which is the client's to give up.
                warnings.simplefilter("ignore", SecurityWarning)
                token = jwt.decode(assertion, key, registry=registry)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
        return dict(token.header), dict(token.claims)
    raise UnknownSigner(
        "client_assertion must be signed with a key of this client, by " + ", ".join(ALGORITHMS)
    )


def _check_times(claims: dict[str, Any], now: float) -> int:
    """When it ends. It must end soon, and it may not begin or be issued in the future."""
    expires_at = _time(claims.get("exp"), "exp")
    if now >= expires_at + LEEWAY:
        raise InvalidClient("client_assertion has expired; make a new one for each request")
    if expires_at > now + MAX_SECONDS + LEEWAY:
        raise InvalidClient(f"client_assertion may live for at most {MAX_SECONDS} seconds")
    for name in ("nbf", "iat"):
        if name in claims and _time(claims[name], name) > now + LEEWAY:
            raise InvalidClient(f"client_assertion has an {name} in the future; check the clock")
    if "iat" in claims and now > _time(claims["iat"], "iat") + MAX_SECONDS + LEEWAY:
        raise InvalidClient("client_assertion is too old; make a new one for each request")
    return expires_at + LEEWAY + 1


def _time(value: object, name: str) -> int:
    """A NumericDate in whole seconds (RFC 7519 §2). NaN is refused: it compares with nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2**53:
        raise InvalidClient(f"client_assertion must have {name} as a number of seconds")
    return int(value)


def _jti(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_JTI or not value.isprintable():
        raise InvalidClient(f"client_assertion must have a jti of 1 to {_MAX_JTI} characters")
    return value
