"""When a consent may be remembered, what it is about, and when it may be used again.

The page protects a user from a link that somebody else made: an attacker begins a login at an app
with the attacker's own account, and sends the victim the address of ``/authorize``. So a consent is
used again only where the browser says that the app's own site sent it here.
"""

import hashlib
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request

from mintage.clients.client import Client
from mintage.server.choosing import asked_of
from mintage.server.requests import AuthorizationRequest
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream

_NAVIGATION: Final = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def may_be_remembered(client: Client, redirect_uri: str) -> bool:
    """Whether the client is proven, and the answer goes to its own server.

    Anyone can register as any client. And any program on a device can listen on a loopback port or
    open addresses of a private-use scheme (RFC 8252 §8.6).
    """
    proven = client.vouched or client.host is not None
    return proven and redirect_uri.startswith("https://") and not _is_local(redirect_uri)


def terms_of(
    wanted: AuthorizationRequest, client: Client, upstream: RegisteredUpstream, site: Site
) -> bytes:
    """A hash of everything that a user agrees to, if the login goes to *upstream*."""
    who = (
        client.client_id,
        client.name,
        sorted(uri.text for uri in client.redirect_uris),
        client.auth_method,
        sorted(client.grant_types),
        client.jwks,
        client.jwks_uri,
        None if client.scopes is None else sorted(client.scopes),
        client.host,
        client.vouched,
    )
    what = (
        wanted.redirect_uri,
        wanted.resource,
        sorted(wanted.more_resources),
        sorted(wanted.scopes),
    )
    where = (site.issuer, upstream.name, sorted(asked_of(upstream, wanted.scopes, site)))
    return hashlib.sha256(msgspec.msgpack.encode((who, what, where))).digest()


def began_at_the_client(request: Request, redirect_uri: str) -> bool:
    """Whether the site of *redirect_uri* sent the whole window here, as the browser says.

    A page can keep back its address, and can't send that of another site. A link in a mail has
    none. Mintage's own origin is none of these sites: its pages send no address, and a backend
    there may show other people's links.
    """
    headers = request.headers
    if request.method != "GET" or headers.getlist("sec-purpose"):
        return False
    if any(headers.getlist(name) != [value] for name, value in _NAVIGATION.items()):
        return False
    return [_origin(text) for text in headers.getlist("referer")] == [_origin(redirect_uri)]


def _origin(url: str) -> tuple[str, str, int] | None:
    """The origin of an https URL (RFC 6454 §4)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port or 443


def _is_local(uri: str) -> bool:
    """Whether the host of *uri* is the user's own machine."""
    host = urlsplit(uri).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def terms_at_each(
    wanted: AuthorizationRequest,
    client: Client,
    offered: Sequence[RegisteredUpstream],
    site: Site,
) -> tuple[bytes, ...]:
    """The terms at each of *offered*; none at all where no consent may be remembered."""
    if not may_be_remembered(client, wanted.redirect_uri):
        return ()
    return tuple(terms_of(wanted, client, upstream, site) for upstream in offered)
