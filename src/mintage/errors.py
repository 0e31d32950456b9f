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
    """The root of all errors of this package, tokens aside."""


class ConfigError(MintageError):
    """A setting is missing or wrong.

    *key* is the dotted name as it stands in the file; *advice* is a sentence.
    """

    def __init__(self, key: str, advice: str) -> None:
        super().__init__(f"{key}: {advice}")
        self.key = key
        self.advice = advice


Stage: TypeAlias = Literal[
    "request", "client", "consent", "login", "upstream", "token", "grant", "scope",
    "resource", "rules", "store", "backend",
]  # fmt: skip


class OAuthError(MintageError):
    """A refusal on its way to the client. Everything else is a 500 and a bug.

    *advice* is for the client's developer: what to do next. *reason* is for our log alone, and
    so is *stage*: which check said no.
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
    """Nothing is served at this path: 404."""

    code = "not_found"
    status = 404


class MethodNotAllowed(InvalidRequest):
    """*allow*: the methods that the path takes, as the ``Allow`` header names them. 405."""

    status = 405

    def __init__(self, advice: str, *, allow: str) -> None:
        super().__init__(advice)
        self.allow = allow


class InvalidClient(OAuthError):
    """*challenge*: the client tried HTTP Basic, so the answer names that scheme (RFC 6749 §5.2)."""

    code = "invalid_client"
    status = 401
    stage = "client"

    def __init__(self, advice: str, *, reason: str = "", challenge: bool = False) -> None:
        super().__init__(advice, reason=reason)
        self.challenge = challenge


class InvalidGrant(OAuthError):
    """A code or refresh token that is not good, or no longer: ``invalid_grant`` (RFC 6749 §5.2)."""

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
    """The resource is unknown here or beyond the grant: ``invalid_target`` (RFC 8707 §2)."""

    code = "invalid_target"
    stage = "resource"


class AccessDenied(OAuthError):
    """The user or a rule said no to this login: 403 ``access_denied`` (RFC 6749 §4.1.2.1)."""

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
    """The bearer token is not good at this resource: 401 ``invalid_token`` (RFC 6750 §3.1)."""

    code = "invalid_token"
    status = 401
    stage = "token"


class InsufficientScope(OAuthError):
    """*needed*: all the scopes that the request takes, for one step up (RFC 6750 §3.1)."""

    code = "insufficient_scope"
    status = 403
    stage = "scope"

    def __init__(self, needed: tuple[str, ...]) -> None:
        super().__init__("log in again and ask for the scopes: " + " ".join(needed))
        self.needed = needed


class BadUpstream(OAuthError):
    """The identity provider misbehaves or refuses Mintage: 502, and waiting does not help."""

    code = "server_error"
    status = 502
    stage = "upstream"


class TemporarilyUnavailable(OAuthError):
    """*retry_after* is in seconds."""

    code = "temporarily_unavailable"
    status = 503

    def __init__(
        self, advice: str, *, reason: str = "", retry_after: int = 5, stage: Stage | None = None
    ) -> None:
        super().__init__(advice, reason=reason, stage=stage)
        self.retry_after = retry_after


class StoreError(MintageError):
    """Something about a store."""


class Exists(StoreError):
    """The key is taken."""


class Stale(StoreError):
    """Another write came first: load the record and decide again."""


class StoreUnavailable(StoreError):
    """The store can't be reached or can't write just now."""


class SecretMissing(StoreUnavailable):
    """*what* needs a root secret that is not configured here: no fault of its client."""

    def __init__(self, what: str, secret_id: str) -> None:
        super().__init__(
            f"{what} needs the secret {secret_id}, which is not among the configured ones: put "
            "it back, or give it up with `mintage serve --force`"
        )


class StoreUnusable(StoreError):
    """The store is newer than this program, foreign, or damaged. Nothing in it was touched."""


class FetchError(MintageError):
    """Something about a URL that a client named. The text may be shown to that client."""


class FetchFailed(FetchError):
    """No answer just now."""


class FetchRefused(FetchError):
    """This URL, the address behind it, or what it answers, is not acceptable."""


class KeysUnavailable(MintageError):
    """Nothing is known about the token: ask again in *retry_after* seconds (a 503, not a 401)."""

    def __init__(self, reason: str, *, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class SealError(MintageError):
    """A box does not open: another key, another place, or other bytes."""


class RecordError(MintageError):
    """These bytes are not a record."""


class NewerRecord(RecordError):
    """A newer Mintage wrote this record."""


class UpstreamError(MintageError):
    """Something about the identity provider. The text is for our log; nobody outside reads it."""


class UpstreamUnavailable(UpstreamError):
    """No answer, a 5xx, or ``temporarily_unavailable``: nothing is known about the login.

    *retry_after* is in seconds.
    """

    def __init__(self, reason: str, *, retry_after: int = 5) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class HalfKnown(UpstreamUnavailable):
    """No rule lets the user in by what is known, and the provider did not name all there is."""


class UpstreamRefused(UpstreamError):
    """The upstream said no: this login is over. *error* is its OAuth error code."""

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(f"{error}: {description}" if description else error)
        self.error = error


class NotAdmitted(UpstreamRefused):
    """The provider knows the user, and no ``[[allow]]`` rule admits them. *why* is for the log."""

    def __init__(self, why: str) -> None:
        super().__init__("access_denied", f"no rule lets this user in: {why}")


class UpstreamMisbehaved(UpstreamError):
    """The upstream's answer breaks the protocol: it is not believed."""


class UpstreamMisconfigured(UpstreamMisbehaved):
    """The provider, or a proxy on the way to it, refuses this server until an operator acts."""


class BadKeySet(JoseError):
    """A JWK set that can't be used. The text says why."""

    error = "bad_key_set"


class TokenError(JoseError):
    """Why a token is refused. Its subclasses tell the reasons apart without reading text."""

    error = "invalid_token"

    if not TYPE_CHECKING:
        # JoseError's own writes the text at once, which costs more than all of a refusal.
        __init__ = Exception.__init__

    def __str__(self) -> str:
        return f"{self.error}: {self.args[0] if self.args else self.description}"


class MalformedToken(TokenError):
    """The text is no JWT of the one form that is accepted (RFC 7515 §3.1)."""

    error = "malformed_token"
    description = "The token is malformed"


class UnknownKey(TokenError):
    """The token's header names a key that is not on the ring."""

    error = "unknown_key"
    description = "The token's header names no key of this issuer"


class BadSignature(TokenError):
    """The signature does not fit the token and the key that its header names."""

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
    """An access token where a refresh token is due, or the other way round."""

    error = "wrong_token_use"
    description = "Token type mismatch"
