"""What the consent page says about a request. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from mintage.clients.client import Client
from mintage.clients.known import known_client
from mintage.clients.redirects import display_host, is_loopback
from mintage.server.choosing import asked_of
from mintage.server.requests import AuthorizationRequest
from mintage.site.site import Site
from mintage.upstream.registry import RegisteredUpstream


def consent_values(
    wanted: AuthorizationRequest,
    client: Client,
    offered: Sequence[RegisteredUpstream],
    site: Site,
    scope_texts: Mapping[str, str],
) -> dict[str, Any]:
    """The values of the template. *scope_texts*: what scopes allow, in words."""
    uri = wanted.redirect_uri
    loopback = is_loopback(uri)
    named = map(site.resource, (wanted.resource, *wanted.more_resources))
    return _who(wanted, client) | {
        "client_host": client.host,
        "redirect_uri": uri,
        "redirect_host": display_host(uri) if loopback or uri.startswith("https://") else None,
        "redirect_scheme": uri.partition(":")[0],
        "loopback": loopback,
        "resources": [
            {"name": found.name, "identifier": found.identifier}
            for found in named
            if found is not None
        ],
        "scopes": [{"name": scope, "text": scope_texts.get(scope)} for scope in wanted.scopes],
        "upstreams": [
            {"name": u.name, "title": u.title, "scopes": asked_of(u, wanted.scopes, site)}
            for u in offered
        ],
    }


def _who(wanted: AuthorizationRequest, client: Client) -> dict[str, Any]:
    """The app's name, how Mintage knows it, and the name that the app gives if it differs."""
    claimed, known = wanted.client_name, known_client(wanted.redirect_uri)
    if client.vouched:
        return {"app": claimed, "standing": "vouched", "claimed_name": None}
    if known is not None:
        other = claimed if claimed.casefold() != known.casefold() else None
        return {"app": known, "standing": "known", "claimed_name": other}
    standing = "published" if client.host else "claimed"
    return {"app": claimed, "standing": standing, "claimed_name": None}
