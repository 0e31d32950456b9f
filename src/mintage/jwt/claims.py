"""Reads a token's claims, and checks whether they are valid now. No clock, no randomness, no I/O.

Reading is strict. For tokens as this package writes them it is cheap, too: a payload is decoded
into checked types and encoded again. If that gives the same bytes, no name came twice, nothing was
dropped, and nothing was spelled unusually. Any other payload (with extra claims, which the types
don't have, or with white space) takes the slow path, which looks for repeated names one by one.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from mintage.errors import (
    ExpiredToken,
    MalformedToken,
    NotYetValid,
    WrongAudience,
    WrongConfirmation,
    WrongIssuer,
    WrongTokenUse,
)

# JSON numbers are exact up to here everywhere (RFC 7493 §2.2).
MAX_TIME: Final = 2**53
MAX_DEPTH: Final = 32
MAX_LEEWAY: Final = 300  # seconds

Name = Annotated[str, Meta(min_length=1)]
Time = Annotated[int, Meta(ge=-MAX_TIME, le=MAX_TIME)]  # seconds since the epoch


class Confirmation(msgspec.Struct, frozen=True, omit_defaults=True):
    """The key that a token is bound to (RFC 7800 §3.1).

    Args:
        jkt: The RFC 7638 thumbprint of a key whose proof must come with the token (RFC 9449 §6.1).
            None: the token is bound in another way, which Mintage can't check.
    """

    jkt: Name | None = None


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """The claims of a verified token (RFC 7519 §4.1, RFC 9068 §2.2), in the order of the payload.

    `JWTIssuer.verify_token` returns the claims beyond these too.

    Args:
        iss: The issuer.
        aud: The audience: the one resource that the token is for.
        client_id: The client that the token was issued to.
        scope: The scopes, with a space between each two (RFC 6749 §3.3).
        exp: When it ends, in seconds since the epoch.
        iat: When it was issued, in seconds since the epoch.
        jti: Its unique id. In Mintage's own tokens this is a secret: keep it out of logs.
        token_use: ``access`` or ``refresh``.
        sub: The user, if the issuer names one.
        upstream_claims: What the identity provider said about the user, if the issuer adds it.
        nbf: When it begins to be valid, in seconds since the epoch.
        cnf: The key that it is bound to. None: anybody who has the token may use it.
    """

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
    cnf: Confirmation | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes of *scope*, one by one, in their order."""
        return tuple(self.scope.split())

    def __repr__(self) -> str:
        # The jti opens the vault, and the upstream's claims are about a person.
        return f"Claims({self.token_use} token of client {self.client_id!r}, exp={self.exp})"


RESERVED: Final = frozenset(Claims.__struct_fields__)

_encode = msgspec.json.Encoder().encode
_decode_claims = msgspec.json.Decoder(Claims).decode
_decode_all = msgspec.json.Decoder(dict[str, Any]).decode


def opening(issuer: str, audience: str) -> bytes:
    """The beginning of every payload of *issuer* for *audience*. ``ValueError`` if one is empty."""
    if type(issuer) is not str or type(audience) is not str or not issuer or not audience:
        raise ValueError("issuer and audience are strings, and not empty")
    return b'{"iss":%b,"aud":%b,"client_id":"' % (_encode(issuer), _encode(audience))


def check_leeway(leeway: float) -> float:
    if not 0 <= leeway <= MAX_LEEWAY:
        raise ValueError(f"leeway is between 0 and {MAX_LEEWAY} seconds")
    return leeway


def check_names(claims: Claims) -> None:
    """``ValueError`` if a name in *claims*, which the caller gave, can't be read back."""
    client_id, jti, sub = claims.client_id, claims.jti, claims.sub
    if type(client_id) is not str or type(jti) is not str or not client_id or not jti:
        raise ValueError("client_id and jti are strings, and not empty")
    if sub is not None and (type(sub) is not str or not sub):
        raise ValueError("subject is a string, and not empty")
    if claims.cnf is not None and (type(claims.cnf.jkt) is not str or not claims.cnf.jkt):
        raise ValueError("key_thumbprint is a string, and not empty")


encode: Final[Callable[[Claims], bytes]] = _encode
"""The payload of claims, which have no upstream claims. ``ValueError`` on a surrogate."""


def as_dict(claims: Claims) -> dict[str, Any]:
    """*claims* as a dict, in the order of the payload and without absent ones."""
    return msgspec.to_builtins(claims)  # type: ignore[no-any-return]


def encode_slow_path(claims: dict[str, Any]) -> bytes:
    """The payload of *claims* as FastMCP writes it, byte for byte.

    Raises ``ValueError`` if some value is not JSON or could not be read back.
    """
    import json  # only for claims of the caller's own

    try:
        payload = json.dumps(claims, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        parse(payload.encode())
    except (TypeError, RecursionError) as error:
        raise ValueError("a claim is not JSON") from error
    except MalformedToken as error:
        raise ValueError("a claim is repeated, nested too deeply, or no proper text") from error
    return payload.encode()


def parse(payload: bytes) -> tuple[Claims, dict[str, Any] | None]:
    """The claims of *payload*, and all of them as a dict if there are more than the type has.

    Raises `MalformedToken`, and nothing else.
    """
    try:
        claims = _decode_claims(payload)
        if _encode(claims) != payload:
            return claims, _parse_slow_path(payload)
        if claims.upstream_claims is not None:
            check_depth(claims.upstream_claims, MAX_DEPTH - 1)
    except (ValueError, OverflowError, RecursionError):
        raise MalformedToken from None
    return claims, None


def check(
    claims: Claims,
    issuer: str,
    audience: str,
    token_use: str,
    now: float,
    leeway: float,
    ahead: float,
) -> None:
    """Raises the `TokenError` that says why *claims* are not valid here and now.

    It checks whose token it is, then what it is for, then whether it is valid at *now* (RFC 7519
    §4.1.4 to §4.1.6). All times are in seconds. *leeway*: how long after its end a token is still
    accepted. *ahead*: how far in the future it may have been issued.
    """
    if claims.iss != issuer:
        raise WrongIssuer
    if claims.aud != audience:
        raise WrongAudience
    if claims.token_use != token_use:
        raise WrongTokenUse(f"Token type mismatch: expected {token_use}, got {claims.token_use}")
    if now >= claims.exp + leeway:
        raise ExpiredToken
    latest = now + ahead
    if claims.iat > latest or (claims.nbf is not None and claims.nbf > latest):
        raise NotYetValid


def check_key(claims: Claims, proven: str | None) -> None:
    """Raises `WrongConfirmation` unless *claims* are bound to the key that the sender has *proven*.

    *proven*: the thumbprint of a key; None: no proof came. Then they must not be bound either.
    """
    if claims.cnf is None:
        if proven is not None:
            raise WrongConfirmation("The token is bound to no key: it is not a DPoP token")
    elif proven is None:
        raise WrongConfirmation("The token is bound to a key, and came without a proof of it")
    elif claims.cnf.jkt != proven:
        raise WrongConfirmation


def _parse_slow_path(payload: bytes) -> dict[str, Any]:
    """All claims of a *payload* whose known claims have the right types or are null."""
    everything = _decode_all(payload)
    for name in RESERVED & everything.keys():
        if everything[name] is None:
            raise ValueError("null is not the same as being absent")
    _refuse_repeated_names(payload)
    check_depth(everything, MAX_DEPTH)
    return everything


def _refuse_repeated_names(payload: bytes) -> None:
    """Raises ``ValueError`` if a name comes twice at the top level, however it is spelled."""
    import json  # only for tokens with claims of others

    top: list[tuple[str, Any]] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        # Objects are reported from the inside out, so the last one is the outermost.
        top[:] = pairs

    json.loads(payload, object_pairs_hook=keep)
    if len(dict(top)) != len(top):
        raise ValueError("a claim is repeated")


def check_depth(value: Any, room: int) -> None:
    """Raises ``ValueError`` if *value* is nested more than *room* levels."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    if not room:
        raise ValueError("nested too deeply")
    for inner in value:
        check_depth(inner, room - 1)
