"""What is fuzzed, and what must hold. Used by ``fuzz.run`` and, over the corpus, by the tests.

The first byte of an input for *verify* chooses how deep the rest goes in: as a whole token, as
the segments after a good header, as a signed payload segment, or as a signed payload.
"""

# ruff: noqa: S101 - these are what must hold
import base64
import hmac
import json
from collections.abc import Callable

from joserfc.errors import JoseError

from mintage.errors import BadKeySet
from mintage.jwt.asymmetric import parse_jwks
from mintage.jwt.inspection import inspect_token
from mintage.jwt.issuer import JWTIssuer, KeyRing, TokenKey

NOW = 1_800_000_000
KEY = bytes(range(32))
HEADER = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9"
ISSUER, AUDIENCE = "https://a.example", "https://a.example/mcp"

_issuer = JWTIssuer(ISSUER, AUDIENCE, KeyRing(TokenKey.hs256(KEY)), clock=lambda: NOW)


def _sign(signing_input: str) -> str:
    mac = hmac.digest(KEY, signing_input.encode("utf-8", "surrogatepass"), "sha256")
    return f"{signing_input}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def token_of(data: bytes) -> str:
    """The token that the fuzzer's *data* stands for."""
    text = data[1:].decode("utf-8", "surrogateescape")
    match data[:1]:
        case b"p":
            payload = base64.urlsafe_b64encode(data[1:]).rstrip(b"=").decode()
            return _sign(f"{HEADER}.{payload}")
        case b"s":
            return _sign(f"{HEADER}.{text}")
        case b"h":
            return f"{HEADER}.{text}"
        case _:
            return text


def verify(data: bytes) -> None:
    """Both forms agree, nothing but `JoseError` leaves, and a good token is what it seems."""
    token = token_of(data)
    try:
        claims = _issuer.verify_token(token)
    except JoseError as error:
        try:
            _issuer.verify(token)
        except type(error):
            return
        raise AssertionError("verify accepts what verify_token refuses") from None
    assert _issuer.verify(token).jti == claims["jti"]
    segment = token.split(".")[1]
    payload = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    assert json.loads(payload) == claims
    assert token == _sign(token.rpartition(".")[0])
    assert base64.urlsafe_b64encode(payload).rstrip(b"=").decode() == segment
    assert claims["exp"] > NOW >= claims["iat"]


def jwks(data: bytes) -> None:
    """A key set is read or refused; its keys verify nothing that nobody signed."""
    try:
        keys = parse_jwks(data)
    except BadKeySet:
        return
    for _, kid, verifier in keys:
        assert kid
        assert not verifier.is_signature(b"a.b", b"A" * 86)


def explain(data: bytes) -> None:
    """``token inspect`` explains anything."""
    inspect_token(token_of(data), now=float(NOW))


TARGETS: dict[str, Callable[[bytes], None]] = {"verify": verify, "jwks": jwks, "inspect": explain}
