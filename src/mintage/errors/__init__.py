"""Every failure that Mintage knows, in one tree.

::

    MintageError
    ├── ConfigError                 a setting is wrong: names its key
    ├── OAuthError                  a refusal on its way to a client or a browser
    │   ├── InvalidRequest          400 invalid_request
    │   │   ├── ContentTooLarge     413
    │   │   ├── UriTooLong          414
    │   │   ├── NotAcceptable       406
    │   │   ├── NotSupported        501
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
    │   ├── AuthorizationPending    400 authorization_pending (RFC 8628 §3.5)
    │   ├── SlowDown                400 slow_down (RFC 8628 §3.5)
    │   ├── DeviceCodeExpired       400 expired_token (RFC 8628 §3.5)
    │   ├── InvalidRequestUri       400 invalid_request_uri (RFC 9101 §7)
    │   ├── RequestNotSupported     400 request_not_supported (RFC 9101 §7)
    │   ├── RequestUriNotSupported  400 request_uri_not_supported (RFC 9101 §7)
    │   ├── InvalidRedirectUri      400 invalid_redirect_uri
    │   ├── InvalidClientMetadata   400 invalid_client_metadata
    │   ├── InvalidToken            401 invalid_token
    │   ├── InvalidDpopProof        400 invalid_dpop_proof, 401 at a resource
    │   │   └── UseDpopNonce        use_dpop_nonce, with DPoP-Nonce
    │   ├── InsufficientScope       403 insufficient_scope
    │   ├── TooManyRequests         429 too_many_requests, with Retry-After
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
    │   └── StatusUnavailable       nor its status list, so it is unknown which tokens are revoked
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
        ├── WrongConfirmation       bound to a key that was not proven (RFC 9449)
        ├── WrongTokenUse
        ├── RevokedToken
        └── BadStatus

Exceptions here are plain classes: a frozen dataclass could not carry its own traceback.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mintage.errors.base import ConfigError, MintageError
    from mintage.errors.oauth import (
        AccessDenied,
        AuthorizationPending,
        BadUpstream,
        ContentTooLarge,
        DeviceCodeExpired,
        InsufficientScope,
        InvalidClient,
        InvalidClientMetadata,
        InvalidDpopProof,
        InvalidGrant,
        InvalidRedirectUri,
        InvalidRequest,
        InvalidRequestUri,
        InvalidScope,
        InvalidTarget,
        InvalidToken,
        LoginRequired,
        MethodNotAllowed,
        NotAcceptable,
        NotFound,
        NotSupported,
        OAuthError,
        RequestNotSupported,
        RequestUriNotSupported,
        SlowDown,
        Stage,
        TemporarilyUnavailable,
        TooManyRequests,
        UnauthorizedClient,
        UnsupportedGrantType,
        UnsupportedResponseType,
        UnsupportedTokenType,
        UriTooLong,
        UseDpopNonce,
    )
    from mintage.errors.published import (
        FetchError,
        FetchFailed,
        FetchRefused,
        KeysUnavailable,
        StatusUnavailable,
    )
    from mintage.errors.records import NewerRecord, RecordError, SealError
    from mintage.errors.stores import (
        Exists,
        SecretMissing,
        Stale,
        StoreError,
        StoreUnavailable,
        StoreUnusable,
    )
    from mintage.errors.tokens import (
        BadKeySet,
        BadSignature,
        BadStatus,
        ExpiredToken,
        MalformedToken,
        NotYetValid,
        RevokedToken,
        TokenError,
        UnknownKey,
        WrongAudience,
        WrongConfirmation,
        WrongIssuer,
        WrongTokenUse,
    )
    from mintage.errors.upstream import (
        HalfKnown,
        NotAdmitted,
        UpstreamError,
        UpstreamMisbehaved,
        UpstreamMisconfigured,
        UpstreamRefused,
        UpstreamUnavailable,
    )

__all__ = [
    "AccessDenied",
    "AuthorizationPending",
    "BadKeySet",
    "BadSignature",
    "BadStatus",
    "BadUpstream",
    "ConfigError",
    "ContentTooLarge",
    "DeviceCodeExpired",
    "Exists",
    "ExpiredToken",
    "FetchError",
    "FetchFailed",
    "FetchRefused",
    "HalfKnown",
    "InsufficientScope",
    "InvalidClient",
    "InvalidClientMetadata",
    "InvalidDpopProof",
    "InvalidGrant",
    "InvalidRedirectUri",
    "InvalidRequest",
    "InvalidRequestUri",
    "InvalidScope",
    "InvalidTarget",
    "InvalidToken",
    "KeysUnavailable",
    "LoginRequired",
    "MalformedToken",
    "MethodNotAllowed",
    "MintageError",
    "NewerRecord",
    "NotAcceptable",
    "NotAdmitted",
    "NotFound",
    "NotSupported",
    "NotYetValid",
    "OAuthError",
    "RecordError",
    "RequestNotSupported",
    "RequestUriNotSupported",
    "RevokedToken",
    "SealError",
    "SecretMissing",
    "SlowDown",
    "Stage",
    "Stale",
    "StatusUnavailable",
    "StoreError",
    "StoreUnavailable",
    "StoreUnusable",
    "TemporarilyUnavailable",
    "TokenError",
    "TooManyRequests",
    "UnauthorizedClient",
    "UnknownKey",
    "UnsupportedGrantType",
    "UnsupportedResponseType",
    "UnsupportedTokenType",
    "UpstreamError",
    "UpstreamMisbehaved",
    "UpstreamMisconfigured",
    "UpstreamRefused",
    "UpstreamUnavailable",
    "UriTooLong",
    "UseDpopNonce",
    "WrongAudience",
    "WrongConfirmation",
    "WrongIssuer",
    "WrongTokenUse",
]

_MODULES: Final = ("tokens", "base", "oauth", "stores", "upstream", "published", "records")


def __getattr__(name: str) -> Any:
    """The error *name*, from the first of the modules that has it; later ones are not loaded.

    So the issuer of tokens, which knows only the first, is not held up by the classes of a server.
    """
    if name in __all__:
        for module in _MODULES:
            if found := vars(import_module(f"mintage.errors.{module}")).get(name):
                globals()[name] = found
                return found
    raise AttributeError(f"module 'mintage.errors' has no attribute {name!r}")
