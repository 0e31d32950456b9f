"""What a token says, and whether it holds now. No clock, no dice, no I/O.

Reading is strict and, for tokens as this package writes them, cheap: a payload is decoded
into checked types and encoded again. If that gives the same bytes, then nothing was said
twice, nothing was dropped and nothing was spelled oddly. Any other payload (one with extra
claims, which the types don't know, or with white space) takes the slow way, which looks for
repeated names one by one.
"""

import json
from typing import Annotated, Any, Final, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from mintage.errors import ExpiredToken, MalformedToken, NotYetValid

# JSON numbers are exact up to here everywhere (RFC 7493 §2.2).
MAX_TIME: Final = 2**53
MAX_DEPTH: Final = 32

Name = Annotated[str, Meta(min_length=1)]
Time = Annotated[int, Meta(ge=-MAX_TIME, le=MAX_TIME)]  # seconds since the epoch


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """The claims of a verified token. What it says beyond these is in ``verify_token``'s dict."""

    iss: str
    aud: str
    client_id: Name
    scope: str
    exp: Time
    iat: Time
    jti: Name
    token_use: str = "access"  # noqa: S105
    sub: Name | None = None
    upstream_claims: dict[str, Any] | None = None
    nbf: Time | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(self.scope.split())

    def __repr__(self) -> str:
        # The jti opens the vault, and the upstream's claims are about a person.
        return f"Claims({self.token_use} token of client {self.client_id!r}, exp={self.exp})"


class ClaimsDict(TypedDict):
    """The same claims as a dict. In a payload, null is not the same as being absent."""

    iss: str
    aud: str
    client_id: Name
    scope: str
    exp: Time
    iat: Time
    jti: Name
    token_use: NotRequired[str]
    sub: NotRequired[Name]
    upstream_claims: NotRequired[dict[str, Any]]
    nbf: NotRequired[Time]


RESERVED: Final = frozenset(ClaimsDict.__annotations__)

_encode = msgspec.json.Encoder().encode
_decode_claims = msgspec.json.Decoder(Claims).decode
_decode_known = msgspec.json.Decoder(ClaimsDict).decode
_decode_all = msgspec.json.Decoder(dict[str, Any]).decode


def encode(claims: Claims) -> bytes:
    """The payload of *claims*, which hold no upstream claims. ``ValueError`` on a surrogate."""
    return _encode(claims)


def as_dict(claims: Claims) -> dict[str, Any]:
    """*claims* as a dict, in the order they are written and without the absent ones."""
    return msgspec.to_builtins(claims)  # type: ignore[no-any-return]


def encode_odd(claims: dict[str, Any]) -> bytes:
    """The payload of *claims* as FastMCP writes it, byte for byte.

    Raises ``ValueError`` where some value is no JSON or could not be read back.
    """
    try:
        payload = json.dumps(claims, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        parse_dict(payload.encode())
    except (TypeError, RecursionError) as error:
        raise ValueError("a claim is not JSON") from error
    except MalformedToken as error:
        raise ValueError("a claim is nested too deeply or is no proper text") from error
    return payload.encode()


def parse(payload: bytes) -> Claims:
    """The claims of *payload*. Raises `MalformedToken`, and nothing else."""
    try:
        claims = _decode_claims(payload)
        if _encode(claims) == payload:
            if claims.upstream_claims is not None:
                _check_depth(claims.upstream_claims)
            return claims
        return msgspec.convert(_parse_odd(payload), Claims)
    except (ValueError, OverflowError, RecursionError):
        raise MalformedToken from None


def parse_dict(payload: bytes) -> dict[str, Any]:
    """All claims of *payload*, in its order. Raises `MalformedToken`, and nothing else."""
    try:
        claims = _decode_known(payload)
        if _encode(claims) == payload:
            if "upstream_claims" in claims:
                _check_depth(claims["upstream_claims"])
            return claims  # type: ignore[return-value]
        return _parse_odd(payload)
    except (ValueError, OverflowError, RecursionError):
        raise MalformedToken from None


def check_times(exp: int, iat: int, nbf: int | None, *, now: float, leeway: float) -> None:
    """Raises `ExpiredToken` or `NotYetValid` (RFC 7519 §4.1.4, §4.1.5). All in seconds."""
    if now >= exp + leeway:
        raise ExpiredToken
    if iat > now + leeway or (nbf is not None and nbf > now + leeway):
        raise NotYetValid


def _parse_odd(payload: bytes) -> dict[str, Any]:
    claims = _decode_all(payload)
    msgspec.convert(claims, ClaimsDict)
    _refuse_repeated_names(payload)
    _check_depth(claims)
    return claims


def _refuse_repeated_names(payload: bytes) -> None:
    """Raises ``ValueError`` where a name stands twice at the top, however it is spelled."""
    top: list[tuple[str, Any]] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        # Objects are reported from the inside out, so the last one is the outermost.
        top[:] = pairs

    json.loads(payload, object_pairs_hook=keep)
    if len(dict(top)) != len(top):
        raise ValueError("a claim is repeated")


def _check_depth(value: Any, room: int = MAX_DEPTH) -> None:
    """Raises ``ValueError`` where *value* is nested more than *room* levels."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    if not room:
        raise ValueError("nested too deeply")
    for inner in value:
        _check_depth(inner, room - 1)
