"""Refusals on their way to a client or a browser, each with its code and status."""

from typing import ClassVar, Literal, TypeAlias

from mintage.errors.base import MintageError

Stage: TypeAlias = Literal[
    "request", "client", "consent", "login", "upstream", "token", "grant", "scope",
    "resource", "rules", "store", "backend", "account", "device", "limits",
    "proof",
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
        grant: For Mintage's log alone: the public id of the grant that the refused token is of.
    """

    code: ClassVar[str] = "server_error"
    status: int = 400
    stage: Stage = "request"

    def __init__(
        self,
        advice: str,
        *,
        reason: str = "",
        stage: Stage | None = None,
        grant: str | None = None,
    ) -> None:
        super().__init__(advice)
        self.advice = advice
        self.reason = reason
        self.grant = grant
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


class NotAcceptable(InvalidRequest):
    """No response can be made in a type that the client accepts: 406 (RFC 9110 §15.5.7)."""

    status = 406


class NotSupported(InvalidRequest):
    """A part of a standard that this server does not have: 501 (RFC 9110 §15.6.2)."""

    status = 501


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


class AuthorizationPending(OAuthError):
    """The person has not answered yet: ``authorization_pending`` (RFC 8628 §3.5)."""

    code = "authorization_pending"
    stage = "device"


class SlowDown(OAuthError):
    """The device polls too often: ``slow_down`` (RFC 8628 §3.5)."""

    code = "slow_down"
    stage = "device"


class DeviceCodeExpired(OAuthError):
    """The device code has expired: ``expired_token`` (RFC 8628 §3.5)."""

    code = "expired_token"
    stage = "device"


class InvalidRequestUri(OAuthError):
    """The ``request_uri`` can't be used: ``invalid_request_uri`` (RFC 9101 §7)."""

    code = "invalid_request_uri"


class RequestNotSupported(OAuthError):
    """Request objects are not read: ``request_not_supported`` (RFC 9101 §7)."""

    code = "request_not_supported"


class RequestUriNotSupported(OAuthError):
    """Request objects are not fetched: ``request_uri_not_supported`` (RFC 9101 §7)."""

    code = "request_uri_not_supported"


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


class InvalidDpopProof(OAuthError):
    """A DPoP proof is missing or not valid: ``invalid_dpop_proof`` (RFC 9449 §5, §7.1).

    The token endpoint answers 400, a resource 401.
    """

    code = "invalid_dpop_proof"
    stage = "proof"


class UseDpopNonce(InvalidDpopProof):
    """A DPoP proof needs a newer nonce: ``use_dpop_nonce`` with DPoP-Nonce (RFC 9449 §8, §9).

    Args:
        advice: For the developer of the client: what to do next.
        nonce: The nonce for the next proof.
    """

    code = "use_dpop_nonce"

    def __init__(self, advice: str, *, nonce: str) -> None:
        super().__init__(advice, reason="no nonce, or an old one")
        self.nonce = nonce


class InsufficientScope(OAuthError):
    """The access token lacks a scope: 403 ``insufficient_scope`` (RFC 6750 §3.1).

    Args:
        needed: All scopes that the request takes, so that the client asks for them at once.
        machine: Whether the token is a machine's, for which nobody can log in.
    """

    code = "insufficient_scope"
    status = 403
    stage = "scope"

    def __init__(self, needed: tuple[str, ...], *, machine: bool = False) -> None:
        remedy = "get a token with the scopes" if machine else "log in again and ask for the scopes"
        super().__init__(f"{remedy}: {' '.join(needed)}")
        self.needed = needed


class TooManyRequests(OAuthError):
    """A limit was reached: 429 ``too_many_requests`` with Retry-After (RFC 6585 §4).

    OAuth has no code for it. The MCP SDK for TypeScript knows this one, and keeps its tokens.

    Args:
        advice: For the developer of the client: what to do next.
        retry_after: Seconds until the client should try again.
        repeated: Whether the log had a line for the same user a short time ago.
    """

    code = "too_many_requests"
    status = 429
    stage = "limits"

    def __init__(self, advice: str, *, retry_after: int, repeated: bool = False) -> None:
        super().__init__(advice)
        self.retry_after = retry_after
        self.repeated = repeated


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
