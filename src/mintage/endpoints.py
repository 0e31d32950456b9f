"""The endpoints of the server in one table, for routes, metadata, OpenAPI and reserved paths."""

from collections.abc import Collection
from typing import Final, Literal, TypeAlias

import msgspec

Feature: TypeAlias = Literal["logins", "registration", "public_keys", "status_list"]


class Endpoint(msgspec.Struct, frozen=True):
    """*name* is its path below the issuer.

    *member*: its name in the server's metadata (RFC 8414 §2), unless a grant type adds that.
    *page*: people open it in a browser, so scripts of web pages may not call it. *feature*: it is
    served only with that.
    """

    name: str
    member: str | None = None
    page: bool = False
    feature: Feature | None = None


AUTHORIZE: Final = Endpoint("authorize", "authorization_endpoint", page=True)
PAR: Final = Endpoint("par", "pushed_authorization_request_endpoint", feature="logins")
DEVICE_AUTHORIZATION: Final = Endpoint("device_authorization")
DEVICE: Final = Endpoint("device", page=True)
CONSENT: Final = Endpoint("consent", page=True, feature="logins")
CALLBACK: Final = Endpoint("callback", page=True, feature="logins")
ACCOUNT: Final = Endpoint("account", page=True, feature="logins")
BACKCHANNEL_LOGOUT: Final = Endpoint("backchannel-logout", feature="logins")
TOKEN: Final = Endpoint("token", "token_endpoint")
REVOKE: Final = Endpoint("revoke", "revocation_endpoint")
INTROSPECT: Final = Endpoint("introspect", "introspection_endpoint")
REGISTER: Final = Endpoint("register", "registration_endpoint", feature="registration")
JWKS: Final = Endpoint("jwks", "jwks_uri", feature="public_keys")
STATUS_LIST: Final = Endpoint("status-list", feature="status_list")
STATUS_LISTS: Final = Endpoint(
    "status-lists", "status_list_aggregation_endpoint", feature="status_list"
)
HEALTHZ: Final = Endpoint("healthz")
READYZ: Final = Endpoint("readyz")
VERIFY: Final = Endpoint("verify")
BRANDING: Final = Endpoint("branding")
SIGN_IN: Final = Endpoint("mintage/sign-in", page=True)
SIGN_OUT: Final = Endpoint("mintage/sign-out", page=True)

ENDPOINTS: Final = (
    AUTHORIZE,
    PAR,
    DEVICE_AUTHORIZATION,
    DEVICE,
    CONSENT,
    CALLBACK,
    ACCOUNT,
    BACKCHANNEL_LOGOUT,
    TOKEN,
    REVOKE,
    INTROSPECT,
    REGISTER,
    JWKS,
    STATUS_LIST,
    STATUS_LISTS,
    HEALTHZ,
    READYZ,
    VERIFY,
    BRANDING,
    SIGN_IN,
    SIGN_OUT,
)

_NAMES: Final = frozenset(endpoint.name for endpoint in ENDPOINTS)

RESERVED: Final = frozenset(
    {".well-known", *(endpoint.name.partition("/")[0] for endpoint in ENDPOINTS)}
)
"""First segments below the issuer that no resource may begin with, also of what is not served."""


def endpoint_name(path: str) -> str:
    """What metrics call the endpoint at *path*, which begins below the issuer: ``callback/x`` too.

    It is the name of an endpoint, or else the first part of *path*.
    """
    return path if path in _NAMES else path.partition("/")[0]


def logout_path(callback: str) -> str:
    """Where the provider with the path *callback* sends its logout tokens, below the issuer."""
    return callback.replace(f"/{CALLBACK.name}", f"/{BACKCHANNEL_LOGOUT.name}", 1)


def members(issuer: str, features: Collection[Feature]) -> dict[str, str]:
    """The members of the metadata that name an endpoint of *issuer* with *features*, each a URL."""
    return {
        endpoint.member: f"{issuer}/{endpoint.name}"
        for endpoint in ENDPOINTS
        if endpoint.member and (endpoint.feature is None or endpoint.feature in features)
    }
