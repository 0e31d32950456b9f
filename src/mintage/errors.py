"""Every failure that Mintage knows, in one tree.

::

    MintageError
    ├── ConfigError                 a setting is wrong: names its key
    ├── OAuthError                  a refusal on its way to a client or a browser
    │   ├── InvalidRequest          400 invalid_request
    │   │   ├── ContentTooLarge     413
    │   │   ├── UriTooLong          414
    │   │   └── MethodNotAllowed    405
    │   ├── NotFound                404 not_found
    │   ├── InvalidClient           401 invalid_client
    │   ├── InvalidGrant            400 invalid_grant
    │   ├── UnauthorizedClient      400 unauthorized_client
    │   ├── UnsupportedGrantType    400 unsupported_grant_type
    │   ├── UnsupportedResponseType 400 unsupported_response_type
    │   ├── UnsupportedTokenType    400 unsupported_token_type
    │   ├── InvalidScope            400 invalid_scope
    │   ├── InvalidTarget           400 invalid_target
    │   ├── AccessDenied            403 access_denied
    │   ├── LoginRequired           400 login_required (OpenID Connect Core §3.1.2.6)
    │   ├── InvalidRedirectUri      400 invalid_redirect_uri
    │   ├── InvalidClientMetadata   400 invalid_client_metadata
    │   ├── InvalidToken            401 invalid_token
    │   ├── InsufficientScope       403 insufficient_scope
    │   ├── BadUpstream             502 server_error
    │   └── TemporarilyUnavailable  503 temporarily_unavailable, with Retry-After
    ├── StoreError
    │   ├── Exists                  the key is taken
    │   ├── Stale                   another write came first
    │   ├── StoreUnavailable        an outage: the same call may work later
    │   │   └── SecretMissing       the grant needs a root secret that is not configured
    │   └── StoreUnusable           a newer, foreign or corrupt store: a person must act
    ├── FetchError                  what a client publishes about itself, at a URL that it named
    │   ├── FetchFailed             an outage: the same URL may work later
    │   └── FetchRefused            a URL, an address or an answer that will not do
    ├── KeysUnavailable             an issuer's public keys can't be had now, with a retry_after
    ├── SealError                   a box does not open
    ├── RecordError                 the bytes of a record are not one
    │   └── NewerRecord             ... because a newer Mintage wrote it
    └── UpstreamError
        ├── UpstreamUnavailable     time-out, 5xx, no connection: nothing is known
        │   └── HalfKnown           a list without its end: whether the user may is not known
        ├── UpstreamRefused         the upstream said no: the login is over
        │   └── NotAdmitted         no `[[allow]]` rule lets this user in
        └── UpstreamMisbehaved      an answer that breaks the protocol
            └── UpstreamMisconfigured   waiting does not help: the operator must act

    joserfc.errors.JoseError
    ├── BadKeySet                   a JWK set that can't be used
    └── TokenError                  all that leaves ``verify_token``
        ├── MalformedToken
        ├── UnknownKey
        ├── BadSignature
        ├── ExpiredToken
        ├── NotYetValid
        ├── WrongIssuer
        ├── WrongAudience
        └── WrongTokenUse

Exceptions here are plain classes: a frozen dataclass could not carry its own traceback.
"""

from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from joserfc.errors import JoseError


class MintageError(Exception):
    """The root of all errors of this package, except those about tokens."""


class ConfigError(MintageError):
    """A setting is missing or wrong.

    Args:
        key: The dotted name of the setting, as the file spells it.
        advice: A sentence: what is wrong, and what to write.
    """

    def __init__(self, key: str, advice: str) -> None:
        super().__init__(f"{key}: {advice}")
        self.key = key
        self.advice = advice


Stage: TypeAlias = Literal[
    "request", "client", "consent", "login", "upstream", "token", "grant", "scope",
    "resource", "rules", "store", "backend",
]  # fmt: skip
"""Which check refused a request. It is in the log."""


class OAuthError(MintageError):
    """A refusal that Mintage sends to a client or a browser (RFC 6749 §5.2).

    Any other exception in a request is answered with 500, and is a bug. *code* is the OAuth error
    code, *status* the HTTP status.

    Args:
        advice: For the developer of the client: what to do next.
        reason: For Mintage's log alone: why.
        stage: For Mintage's log alone: which check refused. None: the usual one of the class.
    """

    code: ClassVar[str] = "server_error"
    status: int = 400
    stage: Stage = "request"

    def __init__(self, advice: str, *, reason: str = "", stage: Stage | None = None) -> None:
        super().__init__(advice)
        self.advice = advice
        self.reason = reason
        if stage is not None:
            self.stage = stage

    @property
    def description(self) -> str:
        """*advice* in the characters that an error_description may hold (RFC 6749 §5.2)."""
        plain = self.advice.replace('"', "'").replace("\\", "/")
        return "".join(c if " " <= c <= "~" else "?" for c in plain)


class InvalidRequest(OAuthError):
    """A parameter is missing, repeated or malformed: ``invalid_request`` (RFC 6749 §5.2)."""

    code = "invalid_request"


class ContentTooLarge(InvalidRequest):
    """The body or the answer is larger than allowed: 413 (RFC 9110 §15.5.14)."""

    status = 413


class UriTooLong(InvalidRequest):
    """The request's URI is longer than allowed: 414 (RFC 9110 §15.5.15)."""

    status = 414


class NotFound(OAuthError):
    """Nothing is served at this path: 404 (RFC 9110 §15.5.5)."""

    code = "not_found"
    status = 404


class MethodNotAllowed(InvalidRequest):
    """The path does not take this method: 405 (RFC 9110 §15.5.6).

    Args:
        advice: For the developer of the client: what to do next.
        allow: The methods that the path takes, as the ``Allow`` header names them.
    """

    status = 405

    def __init__(self, advice: str, *, allow: str) -> None:
        super().__init__(advice)
        self.allow = allow


class InvalidClient(OAuthError):
    """The client is unknown or did not authenticate: 401 ``invalid_client`` (RFC 6749 §5.2).

    Args:
        advice: For the developer of the client: what to do next.
        reason: For Mintage's log alone: why.
        challenge: Whether the client used HTTP Basic, so that the answer must name that scheme.
    """

    code = "invalid_client"
    status = 401
    stage = "client"

    def __init__(self, advice: str, *, reason: str = "", challenge: bool = False) -> None:
        super().__init__(advice, reason=reason)
        self.challenge = challenge


class InvalidGrant(OAuthError):
    """A code or refresh token is wrong, expired or revoked: ``invalid_grant`` (RFC 6749 §5.2)."""

    code = "invalid_grant"
    stage = "grant"


class UnauthorizedClient(OAuthError):
    """The client may not use this grant type: ``unauthorized_client`` (RFC 6749 §5.2)."""

    code = "unauthorized_client"
    stage = "client"


class UnsupportedGrantType(OAuthError):
    """The grant type is not offered: ``unsupported_grant_type`` (RFC 6749 §5.2)."""

    code = "unsupported_grant_type"


class UnsupportedResponseType(OAuthError):
    """The response type is not ``code``: ``unsupported_response_type`` (RFC 6749 §4.1.2.1)."""

    code = "unsupported_response_type"


class UnsupportedTokenType(OAuthError):
    """The token type can't be revoked: ``unsupported_token_type`` (RFC 7009 §2.2.1)."""

    code = "unsupported_token_type"


class InvalidScope(OAuthError):
    """None of the scopes can be granted: ``invalid_scope`` (RFC 6749 §5.2)."""

    code = "invalid_scope"
    stage = "scope"


class InvalidTarget(OAuthError):
    """The resource is unknown, or not one of the grant's: ``invalid_target`` (RFC 8707 §2)."""

    code = "invalid_target"
    stage = "resource"


class AccessDenied(OAuthError):
    """The user or a rule refused this login: 403 ``access_denied`` (RFC 6749 §4.1.2.1)."""

    code = "access_denied"
    status = 403
    stage = "login"


class LoginRequired(OAuthError):
    """``prompt=none`` can't be answered: ``login_required`` (OpenID Connect Core §3.1.2.6)."""

    code = "login_required"


class InvalidRedirectUri(OAuthError):
    """A redirect URI that may not be registered: ``invalid_redirect_uri`` (RFC 7591 §3.2.2)."""

    code = "invalid_redirect_uri"


class InvalidClientMetadata(OAuthError):
    """The registration is not acceptable: ``invalid_client_metadata`` (RFC 7591 §3.2.2)."""

    code = "invalid_client_metadata"


class InvalidToken(OAuthError):
    """The access token is not valid at this resource: 401 ``invalid_token`` (RFC 6750 §3.1)."""

    code = "invalid_token"
    status = 401
    stage = "token"


class InsufficientScope(OAuthError):
    """The access token lacks a scope: 403 ``insufficient_scope`` (RFC 6750 §3.1).

    Args:
        needed: All scopes that the request takes, so that the client asks for them at once.
    """

    code = "insufficient_scope"
    status = 403
    stage = "scope"

    def __init__(self, needed: tuple[str, ...]) -> None:
        super().__init__("log in again and ask for the scopes: " + " ".join(needed))
        self.needed = needed


class BadUpstream(OAuthError):
    """The identity provider misbehaves or refuses Mintage: 502 (RFC 9110 §15.6.3). Don't retry."""

    code = "server_error"
    status = 502
    stage = "upstream"


class TemporarilyUnavailable(OAuthError):
    """An outage: 503 ``temporarily_unavailable`` with Retry-After (RFC 9110 §15.6.4).

    Args:
        advice: For the developer of the client: what to do next.
        reason: For Mintage's log alone: why.
        retry_after: Seconds until the client should try again.
        stage: For Mintage's log alone: which check refused.
    """

    code = "temporarily_unavailable"
    status = 503

    def __init__(
        self, advice: str, *, reason: str = "", retry_after: int = 5, stage: Stage | None = None
    ) -> None:
        super().__init__(advice, reason=reason, stage=stage)
        self.retry_after = retry_after


class StoreError(MintageError):
    """The root of the errors of stores."""


class Exists(StoreError):
    """The key is taken: another record is under it."""


class Stale(StoreError):
    """Another write came first. Load the record and decide again."""


class StoreUnavailable(StoreError):
    """The store can't be reached, or can't write, just now. The same call may work later."""


class SecretMissing(StoreUnavailable):
    """A record needs a root secret that is not configured here. The client did nothing wrong.

    Args:
        what: What needs the secret.
        secret_id: The public id of the secret.
    """

    def __init__(self, what: str, secret_id: str) -> None:
        super().__init__(
            f"{what} needs the secret {secret_id}, which is not among the configured ones: put "
            "it back, or give it up with `mintage serve --force`"
        )


class StoreUnusable(StoreError):
    """The store is damaged, not Mintage's, or newer than this program. Nothing in it changed."""


class FetchError(MintageError):
    """The root of the errors about a URL that a client named. That client may see the text."""


class FetchFailed(FetchError):
    """The URL can't be fetched just now."""


class FetchRefused(FetchError):
    """Mintage does not accept this URL, the address behind it, or its answer."""


class KeysUnavailable(MintageError):
    """The issuer's public keys can't be fetched, so nothing is known: answer 503, never 401.

    Args:
        reason: Why, for the log.
        retry_after: Seconds until it makes sense to ask again.
    """

    def __init__(self, reason: str, *, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class SealError(MintageError):
    """A box does not decrypt: another key, another place, or damaged bytes."""


class RecordError(MintageError):
    """These bytes are not a record."""


class NewerRecord(RecordError):
    """A newer Mintage wrote this record."""


class UpstreamError(MintageError):
    """The root of the errors about an identity provider. The text is for Mintage's log alone."""


class UpstreamUnavailable(UpstreamError):
    """The provider did not answer, or with a 5xx: nothing is known about the login.

    Args:
        reason: Why, for the log.
        retry_after: Seconds until it makes sense to ask again.
    """

    def __init__(self, reason: str, *, retry_after: int = 5) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class HalfKnown(UpstreamUnavailable):
    """No rule admits the user so far, and the provider did not return the whole list of groups."""


class UpstreamRefused(UpstreamError):
    """The provider refused, so this login has ended.

    Args:
        error: The provider's OAuth error code (RFC 6749 §5.2).
        description: The provider's description, for the log.
    """

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(f"{error}: {description}" if description else error)
        self.error = error


class NotAdmitted(UpstreamRefused):
    """The provider knows the user, and no ``[[allow]]`` rule admits them.

    Args:
        why: Which rules did not match, for the log.
    """

    def __init__(self, why: str) -> None:
        super().__init__("access_denied", f"no rule lets this user in: {why}")


class UpstreamMisbehaved(UpstreamError):
    """The provider's answer breaks the protocol, so Mintage does not use it."""


class UpstreamMisconfigured(UpstreamMisbehaved):
    """The provider, or a proxy on the way to it, refuses this server until an operator acts."""


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


class WrongTokenUse(TokenError):
    """It is an access token where a refresh token is expected, or the other way round."""

    error = "wrong_token_use"
    description = "Token type mismatch"
