"""Tokens and key sets that do not verify: subclasses of joserfc's ``JoseError``."""

from typing import TYPE_CHECKING

from joserfc.errors import JoseError


class BadKeySet(JoseError):
    """A JWK set can't be used (RFC 7517 §5). The text says why."""

    error = "bad_key_set"


class TokenError(JoseError):
    """A token is refused. The subclass says why."""

    error = "invalid_token"

    if not TYPE_CHECKING:
        # JoseError's own writes the text at once, which costs more than all of a refusal.
        __init__ = Exception.__init__

    def __str__(self) -> str:
        return f"{self.error}: {self.args[0] if self.args else self.description}"


class MalformedToken(TokenError):
    """The text is no JWT in the one form that Mintage accepts (RFC 7515 §3.1)."""

    error = "malformed_token"
    description = "The token is malformed"


class UnknownKey(TokenError):
    """The token's header names a key that the issuer does not have."""

    error = "unknown_key"
    description = "The token's header names no key of this issuer"


class BadSignature(TokenError):
    """The signature does not verify under the key that the token's header names."""

    error = "bad_signature"
    description = "The token's signature does not verify"


class ExpiredToken(TokenError):
    """The token has ended: its ``exp`` is in the past (RFC 7519 §4.1.4)."""

    error = "expired_token"
    description = "The token has expired"


class NotYetValid(TokenError):
    """The token's ``nbf`` or ``iat`` is in the future (RFC 7519 §4.1.5, §4.1.6)."""

    error = "not_yet_valid"
    description = "The token is not valid yet"


class WrongIssuer(TokenError):
    """Another server issued the token: its ``iss`` is not this one (RFC 7519 §4.1.1)."""

    error = "invalid_issuer"
    description = "Invalid token issuer"


class WrongAudience(TokenError):
    """The token is for another resource: its ``aud`` is not this one (RFC 7519 §4.1.3)."""

    error = "invalid_audience"
    description = "Invalid token audience"


class WrongConfirmation(TokenError):
    """The token is bound to a key that was not proven, or a proof came with an unbound token.

    RFC 9449 §7.1 and §7.2.
    """

    error = "wrong_confirmation"
    description = "The token is bound to another key"


class WrongTokenUse(TokenError):
    """It is an access token where a refresh token is expected, or the other way round."""

    error = "wrong_token_use"
    description = "Token type mismatch"


class RevokedToken(TokenError):
    """The issuer's status list says that the token's grant has ended."""

    error = "revoked_token"
    description = "The token was revoked"


class BadStatus(TokenError):
    """The token does not say where it is in the issuer's status list, or names another list."""

    error = "bad_status"
    description = "The token has no place in the issuer's status list"
