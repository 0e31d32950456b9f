"""Who calls the admin API: by its token, or through the gateway of this server. Pure."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from mintage.errors import InvalidToken, TokenError
from mintage.gateway.credentials import IDENTITY_HEADER
from mintage.jwt.algorithms import Verifier
from mintage.jwt.jws import open_token
from mintage.jwt.keyring import TokenKey
from mintage.values import Secret

_TYPE: Final = "identity+jwt"
_LEEWAY: Final = 5  # seconds


class _Identity(msgspec.Struct):
    """What the gateway signs about a user (see `IdentitySigner`)."""

    iss: str
    aud: str
    sub: str
    exp: int
    email: str | None = None


_decode: Final = msgspec.json.Decoder(_Identity).decode


class Operator(msgspec.Struct, frozen=True):
    """*name*: for the audit trail. None: a holder of the token, who has no name."""

    name: str | None = None


@dataclass(frozen=True, slots=True)
class Operators:
    """Recognizes operators.

    *token*: what callers send; None: no token is accepted. *issuer*, *audience* and *keys*: of the
    identities that the gateway signs for the admin API; *audience* None: none is accepted.
    """

    token: Secret | None
    issuer: str
    audience: str | None = None
    keys: Sequence[TokenKey] = field(default=(), repr=False)

    def operator_of(self, headers: Sequence[tuple[bytes, bytes]], *, now: float) -> Operator:
        """The operator who sent a request with *headers*. Raises `InvalidToken`."""
        found = {
            name: [value for other, value in headers if other == name.encode()]
            for name in (IDENTITY_HEADER, "authorization")
        }
        if (identities := found[IDENTITY_HEADER]) and self.audience is not None:
            return self._through_the_gateway(identities, now)
        presented = found["authorization"]
        if len(presented) == 1 and self._is_the_token(presented[0]):
            return Operator()
        raise InvalidToken(
            "send the admin token: Authorization: Bearer TOKEN",
            reason="no or wrong admin token",
        )

    def _through_the_gateway(self, identities: Sequence[bytes], now: float) -> Operator:
        try:
            payload = open_token(identities[0].decode("ascii"), self._pins())
            who = _decode(payload)
        except (TokenError, UnicodeDecodeError, msgspec.DecodeError):
            who = None
        if (
            len(identities) != 1
            or who is None
            or (who.iss, who.aud) != (self.issuer, self.audience)
            or now >= who.exp + _LEEWAY
        ):
            raise InvalidToken(
                "the identity does not come from this server's gateway, or is old",
                reason="wrong identity token",
            )
        return Operator(who.email or who.sub)

    def _pins(self) -> dict[str, Verifier]:
        """Every header that the gateway writes: the type of an identity, and one of our keys."""
        return {key.header(_TYPE).decode(): key.verifier for key in self.keys}

    def _is_the_token(self, authorization: bytes) -> bool:
        scheme, _, presented = authorization.partition(b" ")
        match scheme.lower():
            case b"bearer":
                given = presented.strip()
            case b"basic":
                given = _password(presented)
            case _:
                return False
        return self.token is not None and hmac.compare_digest(given, self.token.reveal())


def _password(basic: bytes) -> bytes:
    """The password of HTTP Basic (RFC 7617): how a browser sends the token. Any user name goes."""
    try:
        return base64.b64decode(basic.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
