"""Client id metadata documents: a ``client_id`` that is the URL of its own registration. Pure.

draft-ietf-oauth-client-id-metadata-document, and its use in MCP 2026-07-28. Any stranger may have
written the document, so it is checked as strictly as a registration.
"""

from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from mintage.clients import metadata
from mintage.clients.client import JWT_BEARER, AuthMethod, Client
from mintage.clients.redirects import RedirectUri
from mintage.errors import InvalidClient, OAuthError
from mintage.values import ClientId

MAX_DOCUMENT: Final = 16 * 1024  # bytes; the draft thinks of 5 KB


class _Document(msgspec.Struct, frozen=True):
    """The members that Mintage reads. The three that MCP names are required."""

    client_id: str
    client_name: str
    redirect_uris: list[str] | None = None
    token_endpoint_auth_method: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ()
    grant_types: tuple[str, ...] = ("authorization_code",)
    response_types: tuple[str, ...] = ("code",)
    application_type: str | None = None
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = None
    require_pushed_authorization_requests: bool = False
    dpop_bound_access_tokens: bool = False
    client_secret: Any = None
    client_secret_expires_at: Any = None


_documents: msgspec.json.Decoder[_Document] = msgspec.json.Decoder(_Document)


def is_document_url(client_id: str) -> bool:
    """Whether this client_id looks like a URL. `metadata.check_fetchable` says if it is allowed."""
    return client_id.startswith("https://")


def parse_document(url: str, body: bytes) -> Client:
    """The client that the document at *url* describes. Raises `InvalidClient`, saying why."""
    try:
        document = _documents.decode(body)
    except msgspec.ValidationError as error:
        raise unusable(str(error).replace("`", "'")) from None
    except (msgspec.DecodeError, RecursionError):
        raise unusable("it is not a JSON object") from None
    # The same characters, not the same place: else one document would be many clients.
    if document.client_id != url:
        raise unusable("its client_id is not the URL that it was fetched from")
    if document.client_secret is not None or document.client_secret_expires_at is not None:
        raise unusable("it must hold no client_secret")
    try:
        return _client(url, document)
    except OAuthError as error:
        raise unusable(error.advice) from None


def _client(url: str, document: _Document) -> Client:
    method = _auth_method(document)
    keys = metadata.keys_of(method, document.jwks, document.jwks_uri)
    grant_types = metadata.grant_types(
        document.grant_types,
        document.response_types,
        # An enterprise's provider names the client by its URL; it must prove that it is it.
        more=(JWT_BEARER,) if method == "private_key_jwt" else (),
    )
    needed = metadata.uses_redirects(grant_types)
    uris = metadata.redirect_uris(document.redirect_uris, needed=needed)
    metadata.check_application_type(document.application_type, uris)
    return Client(
        client_id=ClientId(url),
        name=metadata.client_name(document.client_name),
        redirect_uris=tuple(map(RedirectUri, uris)),
        auth_method=method,
        grant_types=grant_types,
        jwks=keys.jwks,
        jwks_uri=keys.jwks_uri,
        host=urlsplit(url).netloc,
        pushes=document.require_pushed_authorization_requests,
        dpop_bound=document.dpop_bound_access_tokens,
    )


def _auth_method(document: _Document) -> AuthMethod:
    """The one method that this client must use here.

    A document serves many servers, so it may offer several methods (OpenID Connect Relying Party
    Metadata Choices §2). Mintage takes the preferred one if it supports it, and otherwise the
    strongest that it supports. The default is ``none``: RFC 7591's default is a secret, which a
    public document can't contain.
    """
    preferred = document.token_endpoint_auth_method
    if preferred is not None and preferred.startswith("client_secret"):
        raise unusable(f"{preferred} needs a shared secret, which no document can hold")
    offered = {preferred or "none", *document.token_endpoint_auth_methods_supported}
    if preferred != "none" and "private_key_jwt" in offered:
        return "private_key_jwt"
    if "none" in offered:
        return "none"
    raise unusable("token_endpoint_auth_method must be none or private_key_jwt")


def unusable(why: str, *, reason: str = "") -> InvalidClient:
    """The refusal of a client_id that is a URL; *reason* is only for the log."""
    return InvalidClient(
        f"the metadata document of this client_id can't be used: {why}; correct it", reason=reason
    )
