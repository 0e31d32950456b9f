"""Explain a token without a key: what it says, and which check would refuse it.

It is for a person who wants to know why a token is refused. It makes every check, not only up to
the first that fails. Nothing here decides about access.
"""

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from mintage.crypto.base64url import encode_text
from mintage.grants import handles

Verdict = Literal["good", "bad", "unknown"]

MAX_TOKEN: Final = 16 * 1024

MEANINGS: Final = {
    "iss": "issuer: the server that signed it",
    "aud": "audience: the one resource it is for",
    "client_id": "the client it was issued to",
    "scope": "what it allows",
    "exp": "expires at",
    "nbf": "not valid before",
    "iat": "issued at",
    "jti": "its handle: opens one grant in the vault",
    "token_use": "what kind of token it is",
    "sub": "subject: the user",
    "upstream_claims": "what the identity provider said about the user",
}
_TIMES: Final = ("exp", "nbf", "iat")
_LAST_MOMENT: Final = 2**53
_TEXTS: Final = ("iss", "aud", "client_id", "jti")


class Check(msgspec.Struct, frozen=True):
    """One check: what was checked, its result, and why."""

    name: str
    verdict: Verdict
    why: str


class Claim(msgspec.Struct, frozen=True):
    name: str
    shown: str
    meaning: str


class Inspection(msgspec.Struct, frozen=True):
    header: dict[str, Any]
    claims: tuple[Claim, ...]
    checks: tuple[Check, ...]

    @property
    def refused(self) -> bool:
        return any(check.verdict == "bad" for check in self.checks)


def inspect_token(token: str, *, now: float) -> Inspection:
    """All that can be said about a token without its key (RFC 7519 §7.2).

    Args:
        token: The text of a token, or of something that should be one.
        now: The time to check against, in seconds since the epoch.

    Returns:
        An ``Inspection``: ``header`` (a dict), ``claims`` and ``checks``, each with its verdict,
        and ``refused``, which is True if a check fails. The signature is not verified.
    """
    segments = token.split(".")
    checks = list(_shape(token, segments))
    header, header_check = _object(segments[0], "header")
    payload, payload_check = _object(segments[1] if len(segments) > 1 else "", "payload")
    checks += [header_check, payload_check]
    if header:
        checks.append(_algorithm(header))
    if payload:
        checks += _claims(payload, now)
    checks.append(Check("signature", "unknown", "only the issuer's key can tell"))
    claims = tuple(
        Claim(name, _shown(name, value), MEANINGS.get(name, "an extra claim"))
        for name, value in payload.items()
    )
    return Inspection(header, claims, tuple(checks))


def payload_of(token: str) -> dict[str, Any]:
    """The claims of *token*, not verified; empty if it is not a token."""
    segments = token.split(".")
    return _object(segments[1], "payload")[0] if len(segments) > 1 else {}


def _shape(token: str, segments: list[str]) -> Iterator[Check]:
    if len(token) > MAX_TOKEN:
        yield Check("size", "bad", f"{len(token)} characters; at most {MAX_TOKEN} are read")
    else:
        yield Check("size", "good", f"{len(token)} characters")
    if len(segments) == 5:  # noqa: PLR2004
        yield Check("segments", "bad", "five segments: an encrypted token (JWE), not a signed one")
    elif len(segments) != 3:  # noqa: PLR2004
        yield Check("segments", "bad", f"{len(segments)} instead of three; was it cut or wrapped?")
    else:
        yield Check("segments", "good", "three: header, payload, signature")


def _object(segment: str, name: str) -> tuple[dict[str, Any], Check]:
    """The JSON object in *segment*, empty if there is none, and the check of it."""
    try:
        raw = base64.b64decode(
            segment.encode("ascii") + b"=" * (-len(segment) % 4), altchars=b"-_", validate=True
        )
    except (UnicodeEncodeError, binascii.Error):
        return {}, Check(name, "bad", "not base64url")
    if encode_text(raw) != segment:
        return {}, Check(name, "bad", "base64url in another spelling: padded or with stray bits")
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError):  # msgspec's own, and UnicodeDecodeError
        return {}, Check(name, "bad", "not JSON")
    if not isinstance(value, dict):
        return {}, Check(name, "bad", "JSON, but not an object")
    return value, Check(name, "good", "a JSON object")


def _algorithm(header: dict[str, Any]) -> Check:
    algorithm = header.get("alg")
    if isinstance(algorithm, str) and algorithm.lower() == "none":
        return Check("algorithm", "bad", "none: an unsigned token is never accepted")
    if extra := sorted(set(header) - {"alg", "typ", "kid"}):
        return Check("algorithm", "bad", f"the header holds {', '.join(extra)}: never accepted")
    if algorithm not in ("HS256", "ES256", "EdDSA", "Ed25519", "RS256"):
        return Check(
            "algorithm", "bad", f"{algorithm!r} is not an algorithm that Mintage signs with"
        )
    return Check("algorithm", "good", algorithm)


def _claims(payload: dict[str, Any], now: float) -> Iterator[Check]:
    for name in _TEXTS:
        value = payload.get(name)
        if not isinstance(value, str) or not value:
            said = "missing" if value is None else "not a non-empty string"
            yield Check(name, "bad", said)
    for name in _TIMES:
        if name not in payload and name != "exp":
            continue
        if type(payload.get(name)) is not int:
            yield Check(name, "bad", "missing" if name not in payload else "not a whole number")
        elif abs(payload[name]) > _LAST_MOMENT:
            yield Check(name, "bad", "not a possible time")
        else:
            yield _time(name, payload[name], now)
    use = payload.get("token_use", "access")
    known = use in ("access", "refresh")
    said = f"{use} token: good {_PLACES.get(str(use), 'nowhere')} only"
    yield Check("token_use", "good" if known else "bad", said)
    yield _handle(payload.get("jti"), use)


_PLACES: Final = {"access": "at its resource", "refresh": "at the token endpoint"}


def _time(name: str, moment: int, now: float) -> Check:
    if name == "exp":
        if now >= moment:
            return Check(name, "bad", f"expired {_span(now - moment)} ago")
        return Check(name, "good", f"valid for another {_span(moment - now)}")
    if moment > now:
        return Check(name, "bad", f"{_span(moment - now)} in the future; compare the clocks")
    return Check(name, "good", f"{_span(now - moment)} ago")


def _handle(jti: object, use: object) -> Check:
    handle = handles.parse_jti(jti) if isinstance(jti, str) else None
    if handle is None:
        return Check("grant", "unknown", "no Mintage server made this jti")
    if handle.kind != use:
        return Check("grant", "bad", f"this jti is for {handle.kind} tokens")
    grant = handles.grant_id(handles.store_key(handle.secret))
    return Check(
        "grant",
        "unknown",
        f"grant {grant}, generation {handle.generation}; the server's log tells if it ended",
    )


def _shown(name: str, value: object) -> str:
    """A claim's value for display. The jti is a secret: its grant is shown as a check instead."""
    if name == "jti":
        return "(secret)"
    if name in _TIMES and type(value) is int and 0 <= value < 2**33:
        return f"{value} ({datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
