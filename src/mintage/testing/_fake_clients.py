"""How a fake provider knows its one client (RFC 6749 §2.3, RFC 7523 §2.2)."""

import base64
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus

from joserfc import jwk, jwt

_ALGORITHMS: Final = ["RS256", "ES256", "ES384", "ES512", "Ed25519"]


def has_basic(header: str, fields: Mapping[str, str], client_id: str, secret: str) -> bool:
    """Whether the header names the client and its secret, and the form does not."""
    given = base64.b64decode(header.removeprefix("Basic ")).decode().split(":")
    named = [unquote_plus(half) for half in given]
    return named == [client_id, secret] and "client_secret" not in fields


def has_post(header: str, fields: Mapping[str, str], client_id: str, secret: str) -> bool:
    """Whether the form names the client and its secret, and no header does."""
    given = [fields.get("client_id", ""), fields.get("client_secret", "")]
    return not header and given == [client_id, secret]


class Assertions:
    """The assertions of the client. Each is accepted once."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def accepts(
        self, assertion: str, key: jwk.Key, *, client_id: str, audience: str, now: float
    ) -> bool:
        """Whether *assertion* is one of *client_id*, signed with *key*, and new."""
        claims = jwt.decode(assertion, key, algorithms=_ALGORITHMS).claims
        wanted = {"iss": client_id, "sub": client_id, "aud": audience}
        fresh = claims["iat"] <= now < claims["exp"]
        used = claims["jti"] in self._used
        self._used.add(claims["jti"])
        return fresh and not used and wanted.items() <= claims.items()
