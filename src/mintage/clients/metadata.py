"""The rules for client metadata (RFC 7591 §2), however it came. Pure.

Every function takes a member as it was sent, and returns it as it is registered. They raise
`InvalidClientMetadata` or `InvalidRedirectUri`.
"""

import re
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from mintage.clients.client import DEVICE_CODE, GRANT_TYPES, AuthMethod
from mintage.clients.keys import MAX_KEYS, read_client_keys
from mintage.clients.redirects import RedirectUri, check_redirect_uri, is_loopback
from mintage.errors import BadKeySet, InvalidClientMetadata, InvalidRedirectUri

_MAX_REDIRECT_URIS: Final = 10
_MAX_NAME: Final = 100
# Control characters, and those that turn the direction of what follows them.
_DECEPTIVE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
_IP_LITERAL: Final = re.compile(r"\[.*\]|[0-9.]+")
_PRIVATE_MEMBERS: Final = frozenset({"d", "k", "p", "q", "dp", "dq", "qi"})


class Keys(msgspec.Struct, frozen=True):
    """Where a client's public keys are: in *jwks* (a JSON document), at *jwks_uri*, or nowhere."""

    jwks: bytes | None = None
    jwks_uri: str | None = None


def redirect_uris(uris: Sequence[str] | None, *, needed: bool = True) -> tuple[str, ...]:
    """*uris*, each once. Each must be acceptable. *needed*: whether there must be one."""
    if uris is None:
        if needed:
            raise InvalidClientMetadata(
                "the body must be client metadata: Object missing required field 'redirect_uris'"
            )
        return ()
    if not uris and needed:
        raise InvalidRedirectUri("redirect_uris must hold at least one URI")
    if len(uris) > _MAX_REDIRECT_URIS:
        raise InvalidRedirectUri(f"redirect_uris may hold at most {_MAX_REDIRECT_URIS} URIs")
    for uri in uris:
        try:
            RedirectUri(uri)
        except ValueError as error:
            raise InvalidRedirectUri(f"correct redirect_uris: {error}") from None
    return tuple(dict.fromkeys(uris))


def check_application_type(kind: str | None, uris: Sequence[str]) -> None:
    """OpenID Connect Registration §2, as MCP 2026-07-28 reads it: a web client uses https.

    A native client may use any acceptable address, also an https one that it claimed (RFC 8252 §7).
    If the member is missing, the addresses decide. OpenID's default, web, would refuse every
    program that does not know the member.
    """
    if kind not in (None, "web", "native"):
        raise InvalidClientMetadata("application_type must be web or native")
    if kind != "web":
        return
    if any(is_loopback(uri) or not uri.startswith("https://") for uri in uris):
        raise InvalidRedirectUri(
            "redirect_uris of a web application are https and not on loopback; "
            "a program on the user's machine registers application_type native"
        )


def client_name(name: str | None) -> str:
    name = (name or "").strip()
    if len(name) > _MAX_NAME:
        raise InvalidClientMetadata(f"client_name may have at most {_MAX_NAME} characters")
    if _DECEPTIVE.search(name):
        raise InvalidClientMetadata("client_name may hold no control characters")
    return name or "An application without a name"


def grant_types(
    asked: Sequence[str], response_types: Sequence[str], *, more: Sequence[str] = ()
) -> tuple[str, ...]:
    """The supported ones among those asked for. The server may change the list (§3.2.1).

    *more*: what such a client may use besides.
    """
    granted = tuple(name for name in (*GRANT_TYPES, *more) if name in asked)
    if DEVICE_CODE in granted and not uses_redirects(granted):
        return granted
    if "code" not in response_types:
        raise InvalidClientMetadata("response_types must hold code")
    if "authorization_code" not in granted:
        raise InvalidClientMetadata("grant_types must hold authorization_code")
    return granted


def uses_redirects(grant_types: Sequence[str]) -> bool:
    """Whether a client with these grant types needs a redirect URI (RFC 7591 §2)."""
    return "authorization_code" in grant_types


def keys_of(method: AuthMethod, jwks: dict[str, Any] | None, jwks_uri: str | None) -> Keys:
    """The keys that *method* needs: one source of keys for ``private_key_jwt``, otherwise none."""
    if jwks is not None and jwks_uri is not None:
        raise InvalidClientMetadata("send jwks or jwks_uri, not both")
    if method != "private_key_jwt":
        return Keys()
    if jwks is not None:
        return Keys(jwks=_public_keys(jwks))
    if jwks_uri is None:
        raise InvalidClientMetadata("private_key_jwt needs jwks or jwks_uri: send one of them")
    try:
        check_fetchable(jwks_uri)
    except ValueError as error:
        raise InvalidClientMetadata(f"correct jwks_uri: {error}") from None
    return Keys(jwks_uri=jwks_uri)


def _public_keys(jwks: dict[str, Any]) -> bytes:
    try:
        read_client_keys(jwks)
    except BadKeySet:
        raise InvalidClientMetadata(
            f"jwks must be a JWK set of at most {MAX_KEYS} keys, with one to sign assertions: RSA "
            "of 2048 to 4096 bits, P-256 or Ed25519"
        ) from None
    if any(not _PRIVATE_MEMBERS.isdisjoint(key) for key in jwks["keys"] if isinstance(key, dict)):
        raise InvalidClientMetadata(
            "jwks holds a private key: make a new pair, and send its public key"
        )
    return msgspec.json.encode(jwks)


def check_fetchable(text: str) -> None:
    """Raises ``ValueError`` for a URL that must not be fetched at a stranger's request.

    It may have no user name, fragment, dot segment, IP address or unusual spelling, so that every
    program reads the URL in the same way. The rules are those of redirect URIs, and a path is
    required.
    """
    try:
        check_redirect_uri(text)
    except ValueError:
        raise ValueError("it is not a plain https URL") from None
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.path:
        raise ValueError("it is not an https URL with a path")
    if _IP_LITERAL.fullmatch(re.sub(r":[0-9]+$", "", parts.netloc)):
        raise ValueError("it names an IP address instead of a host")
